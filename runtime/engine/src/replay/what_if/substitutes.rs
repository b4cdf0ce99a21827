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
    bytes: usize,
}

/// What the fork has in place of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitute {
    /// `None`: nothing.
    pub event: Option<Event>,
    /// Who emitted it.
    pub cause: LaneId,
    /// The emitter fails: it is not known whether it would emit this.
    pub is_unknown: bool,
}

impl Substitute {
    /// What it takes, about: its contents, and twice its place in a map.
    fn bytes(&self) -> usize {
        let event = self.event.as_ref().map_or(0, Event::encoded_size);
        event.saturating_add(self.cause.1.len()).saturating_add(2 * size_of::<(Position, Self)>())
    }
}

impl Substitutes {
    pub fn insert(&mut self, position: Position, substitute: Substitute) {
        self.bytes = self.bytes.saturating_add(substitute.bytes());
        if let Some(replaced) = self.by_position.insert(position, substitute) {
            self.bytes = self.bytes.saturating_sub(replaced.bytes());
        }
    }

    /// What they take in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
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
        (cause, is_unknown): (&LaneId, bool),
    ) {
        let fork = emitted(sides.1);
        let of = |event: Option<&&Event>| Substitute {
            event: event.map(|event| (*event).clone()),
            cause: cause.clone(),
            is_unknown,
        };
        let changed = pairs.changed.iter().map(|(recorded, now)| (*recorded, of(fork.get(*now))));
        let removed = pairs.removed.iter().map(|recorded| (*recorded, of(None)));
        let withheld = sides.0.withheld.len();
        for (index, substitute) in changed.chain(removed) {
            match delivery.filter(|_| index < withheld) {
                Some(delivery) => {
                    self.bytes = self.bytes.saturating_add(substitute.bytes());
                    self.withheld.entry(delivery.clone()).or_default().push((index, substitute));
                }
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
            self.bytes = self.bytes.saturating_sub(substitute.bytes());
            self.insert(position.next().plus(offset), substitute);
        }
    }
}
