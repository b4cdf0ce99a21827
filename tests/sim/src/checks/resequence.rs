//! Resequenced events: a delivery that has begun stays first in its lane, one that has not waits for its number, and a gap
//! is passed once.

use std::collections::BTreeMap;

use weirgate_types::{DeliveryId, GapPassed, KeyHash, Mode, Position};

use super::{Checked, Checks, Item, Life, Rule, Watched, check};

/// The number of a key's first event.
const FIRST: u64 = 1;

impl Item {
    /// Whether an attempt has begun and the delivery is not closed.
    fn is_begun(&self) -> bool {
        self.was_discarded()
            || matches!(self.life, Life::Running | Life::Retrying { .. } | Life::AwaitingCorrection | Life::Held)
    }
}

impl Watched {
    fn next_number(&self, key: KeyHash) -> u64 {
        self.next.get(&key).copied().unwrap_or(FIRST)
    }

    /// The number after this one is next, if it is not already a later one.
    pub(super) fn passed_number(&mut self, key: KeyHash, number: Option<u64>) {
        if let Some(number) = number.filter(|_| self.kind.resequences) {
            raise(&mut self.next, key, number + 1);
        }
    }

    /// Another delivery of its key that has begun.
    pub(super) fn begun_in_lane(&self, position: Position) -> Option<(Position, &Item)> {
        let key = self.items.get(&position)?.key;
        let others = self.open.iter().filter(|other| **other != position);
        let others = others.filter_map(|other| Some((*other, self.items.get(other)?)));
        others.into_iter().find(|(_, other)| other.key == key && other.is_begun())
    }
}

fn raise(next: &mut BTreeMap<KeyHash, u64>, key: KeyHash, at_least: u64) {
    let known = next.entry(key).or_insert(FIRST);
    *known = at_least.max(*known);
}

impl Checks {
    /// Whether the delivery's number is next, and no delivery of its key has begun before it.
    pub(super) fn check_number(watched: &Watched, delivery: &DeliveryId) -> Checked {
        let Some(item) = watched.items.get(&delivery.position) else { return Ok(()) };
        let begun = watched.begun_in_lane(delivery.position);
        check(Rule::Order, begun.is_none(), || format!("{delivery} begins while {begun:?} has been begun"))?;
        let next = watched.next_number(item.key);
        let may = item.tried || item.number.is_none_or(|number| number <= next);
        check(Rule::Order, may, || format!("{delivery} begins with {:?}, and {next} is next", item.number))
    }

    /// The wait for the numbers missing before a delivery is over.
    pub(super) fn gap_passed(&mut self, gap: &GapPassed) -> Checked {
        let (number, key, life) = {
            let item = self.known(Rule::Order, &gap.delivery)?;
            (item.number, item.key, item.life)
        };
        let watched = self.watched(&gap.delivery.handler);
        let (next, mode) = (watched.next_number(key), watched.mode);
        raise(&mut watched.next, key, gap.found);
        let is_its = number == Some(gap.found) && gap.expected == next && gap.found > next && life == Life::Ready;
        check(Rule::Order, is_its, || format!("{gap:?} is passed: {number:?} is {life:?}, and {next} is next"))?;
        check(Rule::Modes, mode != Mode::Paused, || format!("{gap:?} is passed while its handler is paused"))
    }
}
