//! Lists of open deliveries: read from the views beside the writer, a slice at a time. Only the phases of candidates are
//! queried from the writer, a few at a time.

use weirgate_core::{DeliveryPhase, DeliveryRow, DeliveryState, StateName};
use weirgate_types::{DeliveryId, KeyHash};
use weirgate_views::ViewEntry;

use super::{Handle, blocking};
use crate::{
    DeliveryFilter, DeliveryItem, Refusal,
    command::{Command, KnownState},
    job::StoredRecord,
    keys, tables,
};

/// Maximum number of rows scanned for one page of a list.
const ROWS_MAX: usize = 10_000;
/// Maximum bytes of a page; the item that reaches it is the last.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Rows per scan step, because writers wait for a scan; also the maximum number of deliveries in one query to the writer.
const SLICE: usize = 256;

/// Some open deliveries, in order of handler and position.
#[derive(Debug, Clone)]
pub struct DeliveryPage {
    pub deliveries: Vec<DeliveryItem>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<DeliveryId>,
}

/// A row that may match.
type Candidate = (DeliveryId, DeliveryRow);

impl Handle {
    /// Open deliveries after `filter.after`, at most `filter.limit`. A page may hold fewer although more follow.
    ///
    /// # Errors
    /// The filter names an unknown handler; [`Refusal::TooManyQueries`].
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<DeliveryPage, Refusal> {
        let _scan = self.0.queries.scan().await?;
        if let Some(name) = &filter.handler {
            self.handler(name.clone()).await?;
        }
        let key = filter.key.as_deref().map(|key| self.0.keys.hash(key));
        let (mut after, mut deliveries, mut bytes) = (filter.after.clone(), Vec::new(), 0);
        for _ in 0..ROWS_MAX / SLICE {
            let (slice, is_last) = self.read_slice(&filter, after.clone(), key).await?;
            let (through, candidates) = slice;
            for item in self.known_states(candidates, filter.state).await? {
                if filter.key.as_ref().is_some_and(|key| *key != item.key) {
                    continue;
                }
                // There is a next page only if it has something.
                if deliveries.len() >= filter.limit || bytes >= ANSWER_BYTES_MAX {
                    let next = deliveries.last().map(|last: &DeliveryItem| last.delivery.clone());
                    return Ok(DeliveryPage { deliveries, next });
                }
                bytes += item_bytes(&item);
                deliveries.push(item);
            }
            if is_last {
                return Ok(DeliveryPage { deliveries, next: None });
            }
            after = through.or(after);
        }
        Ok(DeliveryPage { deliveries, next: after })
    }

    /// The next rows: the last key scanned, the candidates, and whether these were the last rows.
    async fn read_slice(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        key: Option<KeyHash>,
    ) -> Result<((Option<DeliveryId>, Vec<Candidate>), bool), Refusal> {
        let views = self.0.statuses.views.clone();
        let prefix = filter.handler.as_ref().map_or_else(|| tables::DELIVERIES.prefix().to_vec(), keys::deliveries_of);
        let state = filter.state;
        blocking(move || {
            let after = after.as_ref().map(keys::delivery);
            let slice = views.scan(&prefix, after.as_deref(), SLICE)?;
            let is_last = slice.len() < SLICE;
            let through = slice.last().and_then(|(row, _)| keys::delivery_of(row));
            let is_wanted = |(_, row): &Candidate| {
                key.is_none_or(|wanted| row.key == wanted) && state.is_none_or(|wanted| may_be(row, wanted))
            };
            let candidates = slice.iter().filter_map(candidate).filter(is_wanted).collect();
            Ok(((through, candidates), is_last))
        })
        .await?
    }

    /// The candidates with their phases and events, without those that were closed meanwhile or are in other phases.
    async fn known_states(
        &self,
        candidates: Vec<Candidate>,
        state: Option<StateName>,
    ) -> Result<Vec<DeliveryItem>, Refusal> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let asked = candidates.iter().map(|(delivery, row)| (delivery.clone(), row.lane)).collect();
        let known = self.ask(|reply| Command::KnownStates { deliveries: asked, reply }).await?;
        let handle = self.clone();
        blocking(move || {
            let mut items = Vec::new();
            for (candidate, known) in candidates.into_iter().zip(known) {
                let Some((row, found)) = handle.state_of(&candidate, known)? else { continue };
                if state.is_none_or(|wanted| wanted == found.name()) {
                    items.extend(handle.item(candidate.0, &row, found)?);
                }
            }
            Ok(items)
        })
        .await?
    }

    /// The row and the phase of a delivery, unless it was closed.
    fn state_of(
        &self,
        (delivery, row): &Candidate,
        known: KnownState,
    ) -> Result<Option<(DeliveryRow, DeliveryState)>, Refusal> {
        if let Some(state) = known.state {
            return Ok(Some((row.clone(), state)));
        }
        let views = &self.0.statuses.views;
        // Not in memory: on disk, or closed since.
        let kept = views.get(&keys::delivery(delivery))?;
        let Some(row) = kept.and_then(|value| postcard::from_bytes::<DeliveryRow>(&value).ok()) else {
            return Ok(None);
        };
        // It is behind the first of its lane, which may be in memory.
        let first = match known.first_of_lane {
            Some(first) => Some(first),
            None => {
                let keys = views.scan_keys(&keys::spilled_lane(&delivery.handler, row.lane), None, 1)?;
                keys.first().and_then(|key| keys::last_position(key))
            }
        };
        let behind = first.filter(|first| *first != delivery.position);
        let state = behind.map_or_else(|| DeliveryState::of(&row), DeliveryState::Blocked);
        Ok(Some((row, state)))
    }

    fn item(
        &self,
        delivery: DeliveryId,
        row: &DeliveryRow,
        state: DeliveryState,
    ) -> Result<Option<DeliveryItem>, Refusal> {
        let stored = StoredRecord::read(&self.0.statuses.log, delivery.position)?;
        let Some(stored) = stored else { return Ok(None) };
        let failure = self.last_failure(&delivery, row.carried.failure)?.map(|last| last.failure);
        Ok(stored.event(delivery.position).map(|event| DeliveryItem {
            attempt: row.attempt,
            state,
            key: event.key().to_owned(),
            r#type: event.r#type.clone(),
            accepted_at_ms: stored.record.at_ms(),
            failure,
            delivery,
        }))
    }
}

/// The approximate size of an item in an answer, in bytes.
fn item_bytes(item: &DeliveryItem) -> usize {
    let failure = item.failure.as_ref().map_or(0, |failure| failure.message.len());
    size_of::<DeliveryItem>() + item.key.len() + item.r#type.len() + failure
}

fn candidate((row, value): &ViewEntry) -> Option<Candidate> {
    Some((keys::delivery_of(row)?, postcard::from_bytes(value).ok()?))
}

/// Whether a delivery with this row can be in a phase: the first of its lane has its own phase, and those behind are
/// blocked.
fn may_be(row: &DeliveryRow, state: StateName) -> bool {
    use StateName as Name;
    match row.phase {
        DeliveryPhase::Running => state == Name::Running,
        DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. } => {
            matches!(state, Name::Ready | Name::OutOfOrder | Name::Blocked)
        }
        DeliveryPhase::Retrying { .. } => matches!(state, Name::Ready | Name::Retrying | Name::Blocked),
        DeliveryPhase::AwaitingCorrection => matches!(state, Name::AwaitingCorrection | Name::Blocked),
        DeliveryPhase::Held => matches!(state, Name::Held | Name::Blocked),
        DeliveryPhase::Withheld { .. } => state == Name::Blocked,
    }
}
