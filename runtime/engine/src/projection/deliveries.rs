//! The rows of deliveries that have changed and are not written yet. Of a delivery that begins and ends within one run of records
//! nothing is written, and a row that changes several times is encoded once.

use std::collections::{HashMap, hash_map::Entry};

use weirgate_core::DeliveryRow;
use weirgate_types::{DeliveryId, HandlerName, Position};
use weirgate_views::Change;

use crate::{StorageError, keys};

/// The memory of a larger run of records is not kept for the next one: emptying it takes time for all of it.
const CAPACITY_MAX: usize = 8_192;

#[derive(Debug, Default)]
pub struct Deliveries(HashMap<DeliveryId, Kept>);

/// A delivery that has changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed<'a> {
    Open(&'a DeliveryRow),
    Ended,
}

#[derive(Debug)]
struct Kept {
    /// `None`: it has ended.
    row: Option<DeliveryRow>,
    /// Whether the views have no row of it.
    is_new: bool,
}

impl Deliveries {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What became of a delivery. `None`: it has not changed, or it came and went.
    pub fn get(&self, delivery: &DeliveryId) -> Option<Changed<'_>> {
        self.0.get(delivery).map(|kept| kept.row.as_ref().map_or(Changed::Ended, Changed::Open))
    }

    /// The first changed delivery of a handler that is open, and how many have changed. Looks at all of them.
    pub fn of(&self, handler: &HandlerName) -> (Option<Position>, usize) {
        let of_handler = || self.0.iter().filter(|(delivery, _)| delivery.handler == *handler);
        let open = of_handler().filter(|(_, kept)| kept.row.is_some());
        (open.map(|(delivery, _)| delivery.position).min(), of_handler().count())
    }

    /// The delivery's newest row; `is_new` if the views are known to have none.
    pub fn keep(&mut self, delivery: DeliveryId, row: Option<DeliveryRow>, is_new: bool) {
        match self.0.entry(delivery) {
            Entry::Occupied(known) if row.is_none() && known.get().is_new => drop(known.remove()),
            Entry::Occupied(mut known) => known.get_mut().row = row,
            Entry::Vacant(place) => drop(place.insert(Kept { row, is_new })),
        }
    }

    /// Takes the changes.
    pub fn take(&mut self) -> Result<Vec<Change>, StorageError> {
        let mut kept = std::mem::take(&mut self.0);
        let changes = kept.drain().map(|(delivery, Kept { row, is_new })| {
            let key = keys::delivery(&delivery);
            let Some(row) = row else { return Ok(Change::remove(key)) };
            let value = postcard::to_stdvec(&row).map_err(StorageError::encode("a delivery's row"))?;
            Ok(if is_new { Change::insert_new(key, value) } else { Change::put(key, value) })
        });
        let changes = changes.collect();
        if kept.capacity() <= CAPACITY_MAX {
            self.0 = kept;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::KeyHash;

    use super::*;

    fn delivery(position: u64) -> DeliveryId {
        DeliveryId { handler: "h".parse().expect("a name"), position: Position(position) }
    }

    fn row(attempt: u32) -> DeliveryRow {
        DeliveryRow { attempt, ..DeliveryRow::new(KeyHash(1), KeyHash(1)) }
    }

    fn taken(deliveries: &mut Deliveries) -> Vec<Change> {
        let mut taken = deliveries.take().expect("encoded");
        taken.sort_by(|one, other| one.key.cmp(&other.key));
        taken
    }

    #[test]
    fn the_newest_row_of_each_delivery_is_written_and_none_of_one_that_came_and_went() {
        let mut deliveries = Deliveries::default();
        for (position, kept, is_new) in [
            (1, Some(row(1)), true),
            (1, Some(row(2)), false),
            (2, Some(row(1)), true),
            (2, Some(row(2)), false),
            (2, None, false),
            (3, Some(row(1)), false),
            (3, None, false),
            (4, None, false),
            (5, Some(row(1)), true),
            (5, None, false),
            (5, Some(row(7)), true),
            (6, Some(row(1)), false),
        ] {
            deliveries.keep(delivery(position), kept, is_new);
        }
        assert_eq!(deliveries.len(), 5);
        let changed = |position| deliveries.get(&delivery(position));
        let (first, last) = (row(2), row(1));
        let expected = [Some(Changed::Open(&first)), None, Some(Changed::Ended), Some(Changed::Open(&last))];
        assert_eq!([1, 2, 3, 6].map(changed), expected);
        assert_eq!(deliveries.of(&delivery(1).handler), (Some(Position(1)), 5));
        assert_eq!(deliveries.of(&"other".parse().expect("a name")), (None, 0));
        let key = |position| keys::delivery(&delivery(position));
        let value = |attempt| postcard::to_stdvec(&row(attempt)).expect("encoded");
        let expected = [
            Change::insert_new(key(1), value(2)),
            Change::remove(key(3)),
            Change::remove(key(4)),
            Change::insert_new(key(5), value(7)),
            Change::put(key(6), value(1)),
        ];
        assert_eq!(taken(&mut deliveries), expected);
        assert_eq!((deliveries.len(), taken(&mut deliveries)), (0, Vec::new()));
    }
}
