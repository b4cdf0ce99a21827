//! What waits behind a delivery that may be waiting for one of them.

use std::collections::BTreeSet;

use weirgate_core::{DeliveryRow, DeliveryState, Suspicion};
use weirgate_types::{DeliveryId, Position};

use super::{Handle, blocking};
use crate::{Refusal, StorageError, job::StoredRecord, keys};

/// Rows per scan step: writers wait for a scan.
const PAGE: usize = 256;
/// Maximum number of rows scanned for the deliveries behind one.
const ROWS_MAX: usize = 10_000;
/// Counting ends here.
pub const BEHIND_MAX: usize = 100;
/// Maximum number of events whose types are read.
const TYPES_READ_MAX: usize = 5;

/// A delivery that may be waiting for an event that waits behind it.
#[derive(Debug, Clone)]
pub struct Suspected {
    pub suspicion: Suspicion,
    /// Number of deliveries behind it.
    pub behind: usize,
    /// The types of the first of them.
    pub types: Vec<String>,
}

impl Handle {
    /// Whether an open delivery may be waiting for itself. Counts up to 100 deliveries behind it, among the next 10,000 open
    /// ones of its handler.
    ///
    /// # Errors
    /// The views or the log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn suspected(&self, delivery: DeliveryId) -> Result<Option<Suspected>, Refusal> {
        let (handle, scan) = (self.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            handle.find_suspected(&delivery)
        })
        .await?
    }

    fn find_suspected(&self, delivery: &DeliveryId) -> Result<Option<Suspected>, Refusal> {
        let views = &self.0.statuses.views;
        let kept = views.get(&keys::delivery(delivery))?;
        let row = kept.and_then(|value| postcard::from_bytes::<DeliveryRow>(&value).ok());
        // One of many that run at once blocks nothing.
        let Some(row) = row.filter(|row| !row.parallel) else { return Ok(None) };
        let suspicion = |behind| Suspicion::of(DeliveryState::of(&row), row.spent, behind);
        if suspicion(1).is_none() {
            return Ok(None);
        }
        let behind = self.behind(delivery, &row)?;
        let Some(suspicion) = suspicion(behind.len()) else { return Ok(None) };
        Ok(Some(Suspected { suspicion, behind: behind.len(), types: self.types_at(&behind)? }))
    }

    /// The positions of the deliveries behind one.
    fn behind(&self, delivery: &DeliveryId, row: &DeliveryRow) -> Result<Vec<Position>, StorageError> {
        let prefix = keys::deliveries_of(&delivery.handler);
        let (mut after, mut behind) = (keys::delivery(delivery), Vec::new());
        for _ in 0..ROWS_MAX / PAGE {
            let page = self.0.statuses.views.scan(&prefix, Some(&after), PAGE)?;
            for (key, value) in &page {
                let Ok(other) = postcard::from_bytes::<DeliveryRow>(value) else { continue };
                if other.lane == row.lane && behind.len() < BEHIND_MAX {
                    behind.extend(keys::last_position(key));
                }
            }
            match page.into_iter().next_back() {
                Some((last, _)) if behind.len() < BEHIND_MAX => after = last,
                _ => break,
            }
        }
        Ok(behind)
    }

    /// The types of the first events at these positions.
    pub(super) fn types_at(&self, positions: &[Position]) -> Result<Vec<String>, StorageError> {
        let mut types = BTreeSet::new();
        for position in positions.iter().take(TYPES_READ_MAX) {
            let stored = StoredRecord::read(&self.0.statuses.log, *position)?;
            types.extend(stored.as_ref().and_then(|stored| stored.event(*position)).map(|event| event.r#type.clone()));
        }
        Ok(types.into_iter().collect())
    }
}
