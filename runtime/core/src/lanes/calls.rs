//! The calls in flight, and the deliveries of each.
//!
//! A call whose attempts were discarded is in flight until it returns: it keeps its slot, and the lanes of its deliveries.

use std::collections::BTreeMap;

use weirgate_types::{KeyHash, Position};

#[derive(Debug, Default)]
pub struct Calls {
    /// The call of each delivery, named by the position of the call's first delivery.
    of: BTreeMap<Position, Position>,
    /// Number of deliveries of a call that still run.
    sizes: BTreeMap<Position, usize>,
    /// Deliveries whose attempt was discarded and whose call has not returned, with their lanes.
    discarded: BTreeMap<Position, KeyHash>,
    /// Number of those in each lane.
    held: BTreeMap<KeyHash, usize>,
}

impl Calls {
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    pub fn of(&self, position: Position) -> Option<Position> {
        self.of.get(&position).copied()
    }

    /// The deliveries that are in a call.
    pub fn deliveries(&self) -> impl Iterator<Item = Position> {
        self.of.keys().copied()
    }

    /// A delivery runs in a call. One that runs already stays in its call.
    pub fn begin(&mut self, position: Position, call: Position) {
        if self.of.contains_key(&position) {
            return;
        }
        self.of.insert(position, call);
        *self.sizes.entry(call).or_default() += 1;
    }

    /// A delivery no longer runs. The call ends with its last one; one whose attempt was discarded continues until it returns.
    pub fn end(&mut self, position: Position) {
        if self.is_discarded(position) {
            return;
        }
        let Some(call) = self.of.remove(&position) else { return };
        match self.sizes.get_mut(&call) {
            Some(size) if *size > 1 => *size -= 1,
            _ => drop(self.sizes.remove(&call)),
        }
    }

    /// The running attempt of a delivery in this lane is discarded.
    pub fn discard(&mut self, position: Position, lane: KeyHash) {
        if self.of.contains_key(&position) && self.discarded.insert(position, lane).is_none() {
            *self.held.entry(lane).or_default() += 1;
        }
    }

    /// Whether a discarded attempt of the delivery is still in flight.
    pub fn is_discarded(&self, position: Position) -> bool {
        self.discarded.contains_key(&position)
    }

    /// Whether a discarded attempt in this lane is still in flight.
    pub fn hold(&self, lane: KeyHash) -> bool {
        self.held.contains_key(&lane)
    }

    /// A discarded attempt of the delivery has returned. Returns its lane, if there was one.
    pub fn returned(&mut self, position: Position) -> Option<KeyHash> {
        let lane = self.discarded.remove(&position)?;
        match self.held.get_mut(&lane) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(self.held.remove(&lane)),
        }
        self.end(position);
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_with_its_last_delivery() {
        let [one, two, three] = [1, 2, 3].map(Position);
        let mut calls = Calls::default();
        for (position, call) in [(one, one), (two, one), (two, two), (three, three)] {
            calls.begin(position, call);
        }
        assert_eq!((calls.len(), calls.of(two)), (2, Some(one)));
        calls.end(one);
        calls.end(one);
        assert_eq!(calls.len(), 2);
        calls.end(two);
        assert_eq!((calls.len(), calls.of(two)), (1, None));
    }

    #[test]
    fn a_discarded_call_is_in_flight_until_it_returns() {
        let [one, two, three] = [1, 2, 3].map(Position);
        let lane = KeyHash(7);
        let mut calls = Calls::default();
        calls.begin(one, one);
        calls.begin(two, one);
        for position in [one, two, three] {
            calls.discard(position, lane);
            calls.end(position);
        }
        assert_eq!((calls.len(), calls.hold(lane), calls.is_discarded(three)), (1, true, false));
        assert_eq!((calls.returned(one), calls.returned(one), calls.returned(three)), (Some(lane), None, None));
        assert_eq!((calls.len(), calls.hold(lane)), (1, true));
        assert_eq!(calls.returned(two), Some(lane));
        assert_eq!((calls.len(), calls.hold(lane)), (0, false));
    }
}
