//! Which handler takes which event: by the version in force at the event's position.

use std::collections::BTreeSet;

use weirgate_types::{Deployed, HandlerName, KEY_REPAIRED, KeyHash, KeyHasher, Mode, Position, Record};

use super::{Checked, Checks, Item, Life, Rule, Watched, check, index_of};
use crate::Takes;

/// An event of the log.
#[derive(Debug)]
pub struct Seen {
    position: Position,
    r#type: String,
    key: KeyHash,
    number: Option<u64>,
    to: Option<usize>,
}

impl Checks {
    pub(super) fn see_events(&mut self, position: Position, record: &Record) {
        let own = position;
        for (position, event) in record.events(position) {
            let to = record.addressee().filter(|_| position == own).map(index_of);
            let (key, number) = (KeyHasher::default().hash(event.key()), event.sequence());
            let seen = Seen { position, r#type: event.r#type.clone(), key, number, to };
            for index in 0..self.handlers.len() {
                let as_of = self.as_of(index, key, position, Some(record));
                let Some(watched) = self.handlers.get_mut(index).filter(|watched| watched.is_deployed()) else {
                    continue;
                };
                watched.see(index, &seen, as_of);
            }
            self.events.push(seen);
        }
    }

    pub(super) fn deployed(&mut self, position: Position, deployed: &Deployed) {
        let index = index_of(&deployed.handler);
        let is_from_beginning = self.from_beginning.get(index).is_some_and(|is| *is);
        let Some(watched) = self.handlers.get_mut(index) else { return };
        watched.finishing.clone_from(&deployed.finishing);
        watched.discard_running();
        let is_first = watched.versions.is_empty();
        watched.versions.push((position, Takes::of_manifest(&deployed.manifest)));
        if is_first && is_from_beginning {
            self.events.iter().for_each(|seen| watched.see(index, seen, BTreeSet::from([seen.position])));
        }
    }
}

impl Checks {
    /// A handler is removed: nothing of it is under way, and nothing is left.
    pub(super) fn removed(&mut self, handler: &HandlerName) -> Checked {
        let watched = self.watched(handler);
        let is_left = |item: &&Item| match item.life {
            // A handler that drains or lags has not looked at it.
            Life::Ready => item.attempt > 0 || item.tried,
            Life::Done => false,
            _ => true,
        };
        let left = watched.items.values().find(is_left);
        check(Rule::Versions, left.is_none(), || format!("{handler} is removed with {left:?}"))?;
        watched.forget();
        self.timers.retain(|timer, _| timer.handler != *handler);
        self.timer_versions.forget(|timer| timer.handler == *handler);
        self.schedules.removed(handler);
        self.state_versions.removed(handler);
        // A new handler of its name may emit the same again.
        let of_handler = format!("{handler}-");
        self.emitted.retain(|id| !id.starts_with(&of_handler));
        Ok(())
    }
}

impl Watched {
    fn forget(&mut self) {
        self.versions.clear();
        self.finishing.clear();
        self.items.clear();
        self.open.clear();
        self.corrections.clear();
        self.next.clear();
        self.key_versions.clear();
        self.written.clear();
        (self.running, self.mode, self.mode_at) = (0, Mode::Running, Position::ZERO);
        self.breaker_open_until_ms = None;
    }

    /// A deployment is a fence: running attempts are discarded, and count for nothing, but for those of versions that finish.
    fn discard_running(&mut self) {
        let is_running = |position: &Position| {
            self.items.get(position).is_some_and(|item| item.life == Life::Running && !self.keeps_attempt(item))
        };
        let running: Vec<_> = self.open.iter().copied().filter(is_running).collect();
        for position in running {
            self.settle(position, Life::Ready);
        }
    }

    fn see(&mut self, own: usize, seen: &Seen, as_of: BTreeSet<Position>) {
        let in_force = self.versions.iter().rfind(|(from, _)| *from <= seen.position).or(self.versions.first());
        let Some((_, takes)) = in_force else { return };
        if seen.to.is_none_or(|to| to == own) && seen.r#type.starts_with("fix.") {
            self.corrections.push((seen.position, seen.key));
        }
        if seen.to.map_or(takes.takes(&seen.r#type), |to| to == own) {
            let item = Item::opened(seen.position, seen.key, seen.number);
            self.items.insert(seen.position, Item { alone: seen.r#type == KEY_REPAIRED, as_of, ..item });
            self.open.insert(seen.position);
        }
    }
}

impl Item {
    fn opened(at: Position, key: KeyHash, number: Option<u64>) -> Self {
        Self {
            key,
            number,
            life: Life::Ready,
            attempt: 0,
            version: Position::ZERO,
            as_of: BTreeSet::from([at]),
            spent: 0,
            tried: false,
            hooked: false,
            alone: false,
            corrected: None,
            failure: None,
            opened_at: at,
            begun_at: at,
            begun_pass: 0,
            wait_ms: 0,
            wait_until_ms: 0,
        }
    }
}
