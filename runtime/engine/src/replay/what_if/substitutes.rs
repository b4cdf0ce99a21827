//! The events of the log that the fork has in another form, or does not have. Pure.

use std::collections::HashMap;

use weirgate_types::{DeliveryId, Effects, Event, Position};

use super::{emissions::Pairs, lane::emitted, run::LaneId};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Substitutes {
    by_position: HashMap<Position, Substitute>,
    /// Of events without a position yet, by their index.
    withheld: HashMap<DeliveryId, Vec<(usize, Substitute)>>,
}

/// What the fork has in place of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitute {
    /// `None`: nothing.
    pub event: Option<Event>,
    /// Who emitted it.
    pub cause: LaneId,
}

impl Substitutes {
    pub fn insert(&mut self, position: Position, substitute: Substitute) {
        self.by_position.insert(position, substitute);
    }

    #[must_use]
    pub fn has(&self, position: Position) -> bool {
        self.by_position.contains_key(&position)
    }

    #[must_use]
    pub fn get(&self, position: Position) -> Option<&Substitute> {
        self.by_position.get(&position)
    }

    /// Takes what a delivery, or a repair, emitted on both sides. `first` is the position of the first recorded event that was not
    /// withheld.
    pub fn emitted(
        &mut self,
        sides: (&Effects, &Effects),
        (delivery, first): (Option<&DeliveryId>, Position),
        pairs: &Pairs,
        cause: &LaneId,
    ) {
        let fork = emitted(sides.1);
        let of =
            |event: Option<&&Event>| Substitute { event: event.map(|event| (*event).clone()), cause: cause.clone() };
        let changed = pairs.changed.iter().map(|(recorded, now)| (*recorded, of(fork.get(*now))));
        let removed = pairs.removed.iter().map(|recorded| (*recorded, of(None)));
        let withheld = sides.0.withheld.len();
        for (index, substitute) in changed.chain(removed) {
            match delivery.filter(|_| index < withheld) {
                Some(delivery) => self.withheld.entry(delivery.clone()).or_default().push((index, substitute)),
                None => {
                    let offset = u64::try_from(index.saturating_sub(withheld)).unwrap_or(u64::MAX);
                    self.insert(first.plus(offset), substitute);
                }
            }
        }
    }

    /// The withheld events of a delivery have positions now: those after the record's own.
    pub fn released(&mut self, delivery: &DeliveryId, position: Position) {
        for (index, substitute) in self.withheld.remove(delivery).unwrap_or_default() {
            let offset = u64::try_from(index).unwrap_or(u64::MAX);
            self.insert(position.next().plus(offset), substitute);
        }
    }
}
