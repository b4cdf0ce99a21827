//! Timers: the event of each timer that is due. The rows say where in the log its definition is.

use std::collections::BTreeMap;

use weirgate_core::schedule;
use weirgate_log::LogReader;
use weirgate_types::{Deployed, Event, HandlerName, Manifest, Record, Schedule, TimerId};

use crate::{
    StorageError,
    keys::{TimerKind, TimerRow},
};

const TIMERS: &str = "/weirgate/timers/";
const SCHEDULES: &str = "/weirgate/schedules/";

/// The source of the timer that made this event.
pub fn kind_of(event: &Event) -> TimerKind {
    if event.source.starts_with(SCHEDULES) { TimerKind::Schedule } else { TimerKind::Handler }
}

pub fn schedule_id(handler: &HandlerName, schedule: &Schedule) -> TimerId {
    TimerId { handler: handler.clone(), key: schedule.key.clone(), name: schedule.name.clone() }
}

/// The schedule that a row refers to, in the manifest of its deployment if that is known.
fn schedule_at(
    log: &LogReader,
    timer: TimerRow,
    manifest: Option<&Manifest>,
) -> Result<Option<Schedule>, StorageError> {
    let index = usize::try_from(timer.index).unwrap_or(usize::MAX);
    if let Some(manifest) = manifest {
        return Ok(manifest.schedules.get(index).cloned());
    }
    let Some((_, Record::Deployed(Deployed { manifest, .. }))) = log.read(timer.position)? else { return Ok(None) };
    let manifest = Manifest::from_record(&manifest).map_err(StorageError::undecodable("the manifest of a schedule"))?;
    Ok(manifest.schedules.into_iter().nth(index))
}

/// What a timer does when it fires.
pub struct Firing {
    pub event: Event,
    /// When a schedule fires next: times that have passed already are left out.
    pub next_ms: Option<u64>,
}

/// What the timer does when it fires at `now_ms`; `None` if the log has no definition of it. `manifest` is that of the deployment which the
/// row refers to, if that is in force.
pub fn firing(
    log: &LogReader,
    (id, kind): (&TimerId, TimerKind),
    timer: TimerRow,
    manifest: Option<&Manifest>,
    now_ms: u64,
) -> Result<Option<Firing>, StorageError> {
    let mut next_ms = None;
    let (r#type, data_content_type, data) = match kind {
        TimerKind::Schedule => {
            let Some(schedule) = schedule_at(log, timer, manifest)? else { return Ok(None) };
            next_ms = schedule::next_after(&schedule.cron, timer.due_ms.max(now_ms));
            let data = schedule.data.map(|data| data.get().as_bytes().to_vec()).unwrap_or_default();
            (schedule.r#type, None, data)
        }
        TimerKind::Handler => {
            let Some((_, record)) = log.read(timer.position)? else { return Ok(None) };
            let mut writes = record.effects().flat_map(|written| &written.effects.timers);
            let set =
                writes.nth(usize::try_from(timer.index).unwrap_or(usize::MAX)).and_then(|write| write.set.clone());
            let Some(set) = set else { return Ok(None) };
            (set.r#type, set.data_content_type, set.data)
        }
    };
    let source = if kind == TimerKind::Schedule { SCHEDULES } else { TIMERS };
    let mut extensions = BTreeMap::new();
    extensions.insert("timer".to_owned(), id.name.clone().into());
    let event = Event {
        id: format!("{}/{}/{}", id.key, id.name, timer.due_ms),
        source: format!("{source}{}", id.handler),
        r#type,
        subject: Some(id.key.clone()),
        time: None,
        data_content_type,
        data_schema: None,
        extensions,
        implied_key: None,
        data,
    };
    Ok(Some(Firing { event, next_ms }))
}
