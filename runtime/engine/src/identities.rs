//! Whether an event is a duplicate: how long identities are remembered, and what a request and the writer know of one.

use weirgate_history::{Answer, HistoryError, Identities, IdentityHash};
use weirgate_log::{LogError, LogReader};
use weirgate_types::{Event, Position};

/// How long the identity of an accepted event is remembered: up to a number of later positions in the log, or up to an age.
/// A later copy is a new event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityWindow {
    pub positions: u64,
    pub age_ms: u64,
}

impl Default for IdentityWindow {
    fn default() -> Self {
        Self { positions: 100_000_000, age_ms: 30 * 86_400_000 }
    }
}

impl IdentityWindow {
    /// Whether an event of this position is remembered while the log ends at `head`, regardless of its age.
    #[must_use]
    pub fn holds(&self, position: Position, head: Position) -> bool {
        head.0.saturating_sub(position.0) < self.positions
    }

    /// Whether an event accepted at this time is remembered.
    #[must_use]
    pub fn holds_age(&self, at_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(at_ms) < self.age_ms
    }

    /// Up to which position identities are forgotten by their number alone.
    #[must_use]
    pub fn floor_by_count(&self, head: Position) -> Position {
        Position(head.0.saturating_sub(self.positions))
    }

    /// Up to which position identities are forgotten: a function of the log and the time. The time of records never falls, so neither
    /// does this.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn floor(&self, log: &LogReader, head: Position, now_ms: u64) -> Result<Position, LogError> {
        let (mut forgotten, mut remembered) = (self.floor_by_count(head).0, head.next().0);
        // The first one is all that has to be read while nothing is old enough.
        let mut middle = forgotten.saturating_add(1);
        while remembered.saturating_sub(forgotten) > 1 {
            let at_ms = log.read(Position(middle))?.map_or(now_ms, |(_, record)| record.at_ms());
            if self.holds_age(at_ms, now_ms) {
                remembered = middle;
            } else {
                forgotten = middle;
            }
            middle = forgotten + (remembered.saturating_sub(forgotten)) / 2;
        }
        Ok(Position(forgotten))
    }
}

/// An event being published, and what the index knows of its identity.
#[derive(Debug)]
pub struct Identified {
    pub event: Event,
    pub identity: IdentityHash,
    pub known: Answer,
}

impl Identified {
    pub fn look_up(event: Event, identities: &Identities) -> Result<Self, HistoryError> {
        let identity = IdentityHash::of(&event.source, &event.id);
        Ok(Self { known: identities.look_up(identity)?, event, identity })
    }

    /// The same for several events, if no file has to be read for them; otherwise the events.
    pub fn look_up_in_memory(events: Vec<Event>, identities: &Identities) -> Result<Vec<Self>, Vec<Event>> {
        let known = events.iter().map(|event| {
            let identity = IdentityHash::of(&event.source, &event.id);
            Some((identity, identities.look_up_in_memory(identity)?))
        });
        match known.collect::<Option<Vec<_>>>() {
            Some(known) => {
                let identified = events.into_iter().zip(known);
                Ok(identified.map(|(event, (identity, known))| Self { event, identity, known }).collect())
            }
            None => Err(events),
        }
    }
}

#[cfg(test)]
mod tests {
    use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt};
    use weirgate_testkit::SimStorage;
    use weirgate_types::{Lost, Record};

    use super::*;

    #[test]
    fn a_window_ends_by_count_and_by_age() {
        let window = IdentityWindow { positions: 10, age_ms: 1_000 };
        assert!(window.holds(Position(1), Position(10)) && !window.holds(Position(1), Position(11)));
        assert!(window.holds_age(5_000, 5_999) && !window.holds_age(5_000, 6_000));
        assert!(window.holds_age(5_000, 4_000), "a clock that was set back ends no window");
    }

    /// A log of records of three positions each, 10 ms apart.
    fn log(records: u64) -> Log {
        let identity = Identity { epoch: Epoch([1; 16]), salt: Salt([2; 16]) };
        let mut log =
            Log::open(std::sync::Arc::new(SimStorage::new()), identity, LogOptions::default()).expect("a log");
        for n in 1..=records {
            log.stage(&Record::Lost(Lost { positions: 3, at_ms: n * 10 })).expect("staged");
        }
        log.commit().expect("a sync");
        log
    }

    #[test]
    fn the_floor_is_the_last_position_out_of_either_window() {
        for records in [0, 1, 2, 50] {
            let log = log(records);
            let (reader, head) = (log.reader(), log.head());
            for age_ms in [1, 10, 11, 95, 10_000] {
                for now_ms in [0, 10, 300, 505, 10_000] {
                    for positions in [1, 3, 40, 1_000] {
                        let window = IdentityWindow { positions, age_ms };
                        let floor = window.floor(&reader, head, now_ms).expect("no error");
                        let at_ms = |position: u64| position.div_ceil(3) * 10;
                        let is_held = |position| {
                            window.holds(Position(position), head) && window.holds_age(at_ms(position), now_ms)
                        };
                        let expected = (1..=head.0).rev().find(|position| !is_held(*position)).unwrap_or(0);
                        assert_eq!(floor, Position(expected), "{records} {window:?} {now_ms}");
                    }
                }
            }
        }
    }
}
