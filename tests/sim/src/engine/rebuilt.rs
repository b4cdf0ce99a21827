//! The views against the log: an engine that has the log alone finds the same, in the middle of a history and at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_core::{DeliveryPhase, DeliveryRow, Limits};
use weirgate_engine::{
    Made,
    sim::{Attempts, EndedCall, Engine, Finder, Found, StepSizes},
};
use weirgate_types::{DeliveryId, HandlerName, Position};
use weirgate_views::MemoryStore;

use super::{History, Stop, ground::Setup, unreadable};
use crate::{Rule, checks::check};

type Rows = BTreeMap<DeliveryId, DeliveryRow>;

impl History<'_> {
    /// Nothing is in flight: the rows of open deliveries, the modes and the breakers are those of an engine that replays the
    /// log from its beginning and spills nothing. The machine counts as many deliveries as there are rows.
    pub(super) fn check_rows_rebuilt(&self) -> Result<(), Stop> {
        let most = usize::MAX;
        let limits = Limits { active_max: most, open_max: most, waiting_max: most, lane_max: most, ..self.plan.limits };
        let setup = Setup { limits, steps: StepSizes::default(), ..Setup::of(&self.plan) };
        let again = self.ground.copy_of_log().start(self.stage, &setup)?;
        let [kept, rebuilt] = [&self.engine, &again].map(Engine::open_rows);
        let (kept, rebuilt) = (kept.map_err(unreadable)?, rebuilt.map_err(unreadable)?);
        for (name, view) in self.engine.machine().handlers() {
            let of_handler = kept.iter().filter(|(delivery, _)| delivery.handler == *name);
            let rows = of_handler.clone().count();
            let spilled = of_handler.filter(|(_, row)| row.spilled).count();
            let counted = (view.open, view.spilled);
            check(Rule::Rebuilt, counted == (rows, spilled), || {
                format!("{name}: {counted:?} open and spilled, rows: {rows}, {spilled}")
            })?;
            let Some(other) = again.machine().handler(name) else {
                return Err(unreadable(format!("{name} is not rebuilt")).into());
            };
            let same = (view.mode, view.breaker_open_until_ms) == (other.mode, other.breaker_open_until_ms);
            check(Rule::Rebuilt, same, || format!("{name}: {:?}, rebuilt {:?}", view.mode, other.mode))?;
            // A handler whose memory is full has not seen the corrections that the other one has.
            if view.scanned < self.checks.head {
                continue;
            }
            let (mine, its) = (comparable(&kept, name), comparable(&rebuilt, name));
            check(Rule::Rebuilt, mine == its, || {
                let differs = mine.iter().find(|(position, row)| its.get(position) != Some(*row));
                let missing = its.iter().find(|(position, _)| !mine.contains_key(position));
                format!(
                    "{name}: kept {differs:?}, rebuilt {:?}, not kept {missing:?}",
                    differs.map(|(at, _)| its.get(at))
                )
            })?;
        }
        let same = open_hosts(&self.engine) == open_hosts(&again);
        Ok(check(Rule::Rebuilt, same, || "hosts' breakers differ".to_owned())?)
    }

    /// Views that are rebuilt from the log are the same.
    pub(super) fn check_rebuilt(&mut self) -> Result<(), Stop> {
        for item in self.engine.handlers() {
            let is_done = item.open == 0 && item.lag == 0;
            check(Rule::Liveness, is_done, || format!("left: {item:?}"))?;
        }
        self.engine.views().flush().map_err(unreadable)?;
        let mut copy = self.ground.copy_of_log();
        let again = copy.start(self.stage, &Setup::of(&self.plan))?;
        again.views().flush().map_err(unreadable)?;
        // Which deployments are still needed depends on how far the handler has scanned.
        let rows = |rows: &MemoryStore| {
            let rows = rows.all().into_iter().filter(|(key, _)| !key.starts_with(b"h") && !key.starts_with(b"d"));
            rows.collect::<BTreeMap<_, _>>()
        };
        let (kept, rebuilt) = (rows(&self.ground.rows), rows(&copy.rows));
        let differs = |one: &BTreeMap<Vec<u8>, Vec<u8>>, other: &BTreeMap<_, _>| {
            let row = one.iter().find(|(key, value)| other.get(*key) != Some(*value))?;
            Some(format!("{} = {}", String::from_utf8_lossy(row.0), String::from_utf8_lossy(row.1)))
        };
        self.check_history()?;
        let identities = |engine: &Engine| engine.identities().all().map_err(unreadable);
        let (known, read_again) = (identities(&self.engine)?, identities(&again)?);
        check(Rule::Rebuilt, known == read_again, || {
            format!("{} identities are known, the log has {}", known.len(), read_again.len())
        })?;
        let holds = kept == rebuilt;
        Ok(check(Rule::Rebuilt, holds, || {
            format!("kept {:?}, rebuilt {:?}", differs(&kept, &rebuilt), differs(&rebuilt, &kept))
        })?)
    }
}

impl History<'_> {
    /// The state that the history tells as of the log's head is the one in the views.
    fn check_history(&self) -> Result<(), Stop> {
        let history = self.engine.handle().history();
        while history.make_next(&|_| true).map_err(unreadable)? != Made::Nothing {}
        let effects = self.records.iter().flat_map(|(_, record)| record.effects());
        let lanes: BTreeSet<_> = effects.map(|written| (written.handler, written.key)).collect();
        let (look, head) = (history.look(), self.engine.log().head());
        for (handler, key) in lanes {
            let told = look.state_at(handler, key, head).map_err(unreadable)?;
            let differs =
                told.iter().find(|(name, value)| self.engine.state(handler, key, name).as_ref() != Some(*value));
            check(Rule::Rebuilt, differs.is_none(), || {
                format!("the history of {handler} and {key} tells {differs:?}")
            })?;
            let names = self.engine.state_names(handler, key);
            check(Rule::Rebuilt, names.iter().eq(told.keys()), || {
                format!("the history of {handler} and {key} has {:?}, the views {names:?}", told.keys())
            })?;
        }
        self.check_found_calls()
    }

    /// Calls that are found through the history are those that a walk through the whole log finds, whatever was asked for before.
    fn check_found_calls(&self) -> Result<(), Stop> {
        let mut walked: BTreeMap<Position, Vec<EndedCall>> = BTreeMap::new();
        let mut attempts = Attempts::default();
        for call in self.records.iter().flat_map(|(at, record)| attempts.apply(*at, record)) {
            if let Some(last) = call.iter().filter_map(|ended| ended.commit).max() {
                walked.entry(last).or_default().push(call);
            }
        }
        let history = self.engine.handle().history();
        let head = self.engine.log().head();
        let mut finder = Finder::new(Arc::new(history.look()), head);
        let middle = self.records.len() / 2;
        let (before, after) = self.records.split_at(middle);
        for (position, record) in after.iter().chain(before) {
            let mut walked = walked.remove(position).unwrap_or_default();
            let found = finder.calls_at(*position, None).map_err(unreadable)?;
            let mut found: Vec<_> = found
                .into_iter()
                .filter_map(|(_, found)| if let Found::Call(call) = found { Some(call) } else { None })
                .collect();
            let first = |call: &EndedCall| call.first().map(|ended| ended.begun.at);
            walked.sort_by_key(first);
            found.sort_by_key(first);
            check(Rule::Rebuilt, walked == found, || {
                format!("of {record:?} at {position} the history finds {found:?}, a walk {walked:?}")
            })?;
        }
        self.check_cost_of_last_call()
    }

    /// To find a call, nothing is read that is older than its events.
    fn check_cost_of_last_call(&self) -> Result<(), Stop> {
        let head = self.engine.log().head();
        let mut finder = Finder::new(Arc::new(self.engine.handle().history().look()), head);
        let last = self.records.iter().rfind(|(_, record)| !record.commits().is_empty());
        let Some((position, _)) = last else { return Ok(()) };
        let found = finder.calls_at(*position, None).map_err(unreadable)?;
        let events =
            found.iter().filter_map(|(_, found)| if let Found::Call(call) = found { Some(call) } else { None });
        let oldest = events.flatten().map(|ended| ended.begun.delivery.position).min().unwrap_or_default();
        let since = self.records.iter().filter(|(at, _)| *at >= oldest).count() as u64;
        let (read, most) = (finder.records_read(), 4 * since + 8);
        Ok(check(Rule::Bounded, read <= most || found.is_empty(), || {
            format!("to find {found:?}, {read} records were read, and {since} are as new as its events")
        })?)
    }
}

/// The rows of a handler, without the parts that depend on when they were scanned.
fn comparable(rows: &Rows, name: &HandlerName) -> BTreeMap<Position, DeliveryRow> {
    let rows = rows.iter().filter(|(delivery, _)| delivery.handler == *name);
    rows.map(|(delivery, row)| {
        let phase = match row.phase {
            DeliveryPhase::OutOfOrder { .. } => DeliveryPhase::Ready,
            phase => phase,
        };
        // What its key had under way depends on when it was opened, until an attempt says in the log which version it has.
        let as_of = if row.attempt > 0 { row.as_of } else { Position::ZERO };
        (delivery.position, DeliveryRow { spilled: false, leads: false, offered: None, phase, as_of, ..row.clone() })
    })
    .collect()
}

fn open_hosts(engine: &Engine) -> Vec<(String, u64)> {
    let hosts = engine.machine().hosts();
    hosts.filter_map(|(host, open)| Some((host.to_string(), open?.until_ms))).collect()
}
