//! The calls in flight, and the deliveries of each.

use std::collections::BTreeMap;

use weirgate_types::Position;

#[derive(Debug, Default)]
pub struct Calls {
    /// The call of each delivery, named by the position of the call's first delivery.
    of: BTreeMap<Position, Position>,
    /// Number of deliveries of a call that still run.
    sizes: BTreeMap<Position, usize>,
}

impl Calls {
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    pub fn of(&self, position: Position) -> Option<Position> {
        self.of.get(&position).copied()
    }

    /// A delivery runs in a call. One that runs already stays in its call.
    pub fn begin(&mut self, position: Position, call: Position) {
        if self.of.contains_key(&position) {
            return;
        }
        self.of.insert(position, call);
        *self.sizes.entry(call).or_default() += 1;
    }

    /// A delivery no longer runs. The call ends with its last one.
    pub fn end(&mut self, position: Position) {
        let Some(call) = self.of.remove(&position) else { return };
        match self.sizes.get_mut(&call) {
            Some(size) if *size > 1 => *size -= 1,
            _ => drop(self.sizes.remove(&call)),
        }
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
}
