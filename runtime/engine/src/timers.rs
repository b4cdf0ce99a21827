//! Timers: what comes when one is due. The rows say where in the log it was said.

use std::collections::BTreeMap;

use weirgate_log::LogReader;
use weirgate_types::{Deployed, Event, HandlerName, Manifest, Record, Schedule, TimerId};

use crate::{
    Refusal,
    rows::{TimerKind, TimerRow},
};

const TIMERS: &str = "/weirgate/timers/";
const SCHEDULES: &str = "/weirgate/schedules/";

/// Who made the timer whose event this is.
pub fn kind_of(event: &Event) -> TimerKind {
    if event.source.starts_with(SCHEDULES) { TimerKind::Schedule } else { TimerKind::Handler }
}

pub fn schedule_id(handler: &HandlerName, schedule: &Schedule) -> TimerId {
    TimerId { handler: handler.clone(), key: schedule.key.clone(), name: schedule.name.clone() }
}

/// The schedule that a row names.
pub fn schedule_at(log: &LogReader, timer: TimerRow) -> Result<Option<Schedule>, Refusal> {
    let Some((_, Record::Deployed(Deployed { manifest, .. }))) = log.read(timer.position)? else { return Ok(None) };
    let manifest = Manifest::from_record(&manifest)?;
    Ok(manifest.schedules.into_iter().nth(usize::try_from(timer.index).unwrap_or(usize::MAX)))
}

/// The event that comes when the timer goes off; `None` where the log does not say.
pub fn event(log: &LogReader, id: &TimerId, kind: TimerKind, timer: TimerRow) -> Result<Option<Event>, Refusal> {
    let (r#type, data_content_type, data) = match kind {
        TimerKind::Schedule => match schedule_at(log, timer)? {
            Some(schedule) => {
                let data = schedule.data.map(|data| data.get().as_bytes().to_vec()).unwrap_or_default();
                (schedule.r#type, None, data)
            }
            None => return Ok(None),
        },
        TimerKind::Handler => {
            let Some((_, record)) = log.read(timer.position)? else { return Ok(None) };
            let mut writes = record.commits().iter().flat_map(|commit| &commit.effects.timers);
            let set =
                writes.nth(usize::try_from(timer.index).unwrap_or(usize::MAX)).and_then(|write| write.set.clone());
            let Some(set) = set else { return Ok(None) };
            (set.r#type, set.data_content_type, set.data)
        }
    };
    let source = if kind == TimerKind::Schedule { SCHEDULES } else { TIMERS };
    let mut extensions = BTreeMap::new();
    extensions.insert("timer".to_owned(), id.name.clone());
    Ok(Some(Event {
        id: format!("{}/{}/{}", id.key, id.name, timer.due_ms),
        source: format!("{source}{}", id.handler),
        r#type,
        subject: Some(id.key.clone()),
        time: None,
        data_content_type,
        data_schema: None,
        extensions,
        data,
    }))
}
