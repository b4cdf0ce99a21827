//! Reads for the machine: spilled lanes from the views, and events for lagging handlers.

use std::collections::{BTreeMap, btree_map::Entry};

use weirgate_core::{DeliveryRow, EventHead, Input, NextDue, Now, PerWait, ReloadedLane, Wait};
use weirgate_log::LogReader;
use weirgate_types::{DeliveryId, HandlerName, KeyHash, Position};
use weirgate_views::Views;

use super::{super::under_way, Delivery};
use crate::{StorageError, keys, projection::Projection};

/// Maximum number of retry stages in a manifest.
const STAGES: u8 = 8;
/// A scan ends after this many bytes of data, or after the positions of its step.
const SCAN_BYTES: usize = 4 << 20;
/// This many bytes of data take as long to read as one position.
const BYTES_PER_WORK: usize = 1_024;

impl Delivery {
    /// Reloads lanes, and those that are `due` by then.
    pub fn reload(
        &mut self,
        handler: &HandlerName,
        mut lanes: Vec<KeyHash>,
        due: PerWait<Option<u64>>,
        views: &Views,
        now: Now,
    ) -> Result<(), StorageError> {
        let steps = self.budget.steps;
        let mut find = |waits: &[Wait], until_ms: Option<u64>| {
            until_ms
                .map(|until_ms| due_lanes(handler, waits, (until_ms, steps.stage_due), &mut lanes, views))
                .transpose()
        };
        let stages: Vec<_> = (0..STAGES).map(|stage| Wait::Retry { stage }).collect();
        let due = PerWait { retries: find(&stages, due.retries)?, gaps: find(&[Wait::Gap], due.gaps)? };
        lanes.sort_unstable();
        lanes.dedup();
        // Enough for full calls, if the handler takes several deliveries per call.
        let batch = self.machine.handler(handler).and_then(|view| view.manifest.batch);
        let most = steps.lane_rows.next_multiple_of(batch.map_or(1, |batch| batch.events_max.max(1) as usize));
        let lanes = lanes.into_iter().map(|lane| spilled_lane(handler, lane, Position(u64::MAX), most, views));
        let lanes = lanes.collect::<Result<Vec<_>, StorageError>>()?;
        self.budget.spend(lanes.iter().map(|lane| 1 + lane.rows.len()).sum());
        self.tell(Input::Reloaded { handler, lanes: &lanes, due }, now);
        Ok(())
    }

    /// Reloads the lane of a spilled delivery, up to the delivery, because a record about it follows. All written rows have
    /// to be readable.
    pub fn reload_for(&mut self, delivery: &DeliveryId, views: &Views, now: Now) -> Result<(), StorageError> {
        let Some(row) = kept_row(delivery, views)?.filter(|row| row.spilled) else { return Ok(()) };
        let lane = spilled_lane(&delivery.handler, row.lane, delivery.position, usize::MAX - 1, views)?;
        self.tell(Input::Reloaded { handler: &delivery.handler, lanes: &[lane], due: PerWait::default() }, now);
        Ok(())
    }

    /// Scans for a lagging handler, up to `until`.
    pub fn scan(
        &mut self,
        handler: &HandlerName,
        (after, until): (Position, Position),
        reader: &LogReader,
        projection: &Projection,
        now: Now,
    ) -> Result<(), StorageError> {
        let is_finishing = self.machine.finishing().contains(handler);
        let (mut events, mut under_way) = (Vec::new(), BTreeMap::new());
        let (mut through, mut bytes) = (after, 0);
        for read in reader.scan(after.next()) {
            let (first, record) = read?;
            if first > until {
                break;
            }
            events.extend(EventHead::of(first, &record, self.keys));
            for (_, event) in record.events(first).filter(|_| is_finishing) {
                let lane = self.keys.hash(event.key());
                if let Entry::Vacant(entry) = under_way.entry(lane) {
                    entry.insert(under_way::since(projection, handler, (event.key(), lane))?);
                }
            }
            through = first.plus(record.width()).before();
            bytes += record.events(first).map(|(_, event)| event.data.len()).sum::<usize>();
            if through.0 >= after.0.saturating_add(self.budget.steps.scan_positions) || bytes >= SCAN_BYTES {
                break;
            }
        }
        self.budget.spend(usize::try_from(through.0.saturating_sub(after.0)).unwrap_or(usize::MAX));
        self.budget.spend(bytes / BYTES_PER_WORK);
        let under_way: Vec<_> = under_way.into_iter().filter_map(|(lane, since)| Some((lane, since?))).collect();
        if is_finishing {
            self.budget.spend(events.len());
            self.tell(Input::UnderWay { handler, keys: &under_way }, now);
        }
        self.tell(Input::Scanned { handler, events: &events, through }, now);
        Ok(())
    }
}

/// Finds the due lanes, queue by queue, and when the next one is due.
fn due_lanes(
    handler: &HandlerName,
    waits: &[Wait],
    (until_ms, most): (u64, usize),
    lanes: &mut Vec<KeyHash>,
    views: &Views,
) -> Result<NextDue, StorageError> {
    let mut next_due_ms = None::<u64>;
    for wait in waits {
        let queue = views.scan(&keys::queue(handler, *wait), None, most + 1)?;
        for (taken, (key, value)) in queue.iter().enumerate() {
            let due_ms = keys::queued_due_ms(key).ok_or_else(|| StorageError::row("when a delivery is due"))?;
            if due_ms > until_ms || taken == most {
                next_due_ms = Some(next_due_ms.map_or(due_ms, |next| next.min(due_ms)));
                break;
            }
            lanes.push(keys::value_lane(value).ok_or_else(|| StorageError::row("a lane"))?);
        }
    }
    Ok(NextDue(next_due_ms))
}

/// The deliveries of a spilled lane, up to one of them.
fn spilled_lane(
    handler: &HandlerName,
    lane: KeyHash,
    through: Position,
    most: usize,
    views: &Views,
) -> Result<ReloadedLane, StorageError> {
    let next = views.get(&keys::next_number(handler, lane))?;
    let next = next.map(|value| keys::value_number(&value).ok_or_else(|| StorageError::row("a number"))).transpose()?;
    let mut found = ReloadedLane { lane, rows: Vec::new(), more: false, next };
    let mut is_complete = false;
    for key in views.scan_keys(&keys::spilled_lane(handler, lane), None, most.saturating_add(1))? {
        let position = keys::last_position(&key).ok_or_else(|| StorageError::row("a lane's row"))?;
        if is_complete || found.rows.len() >= most {
            found.more = true;
            break;
        }
        is_complete = position == through;
        let delivery = DeliveryId { handler: handler.clone(), position };
        if let Some(row) = kept_row(&delivery, views)? {
            found.rows.push((position, row));
        }
    }
    Ok(found)
}

fn kept_row(delivery: &DeliveryId, views: &Views) -> Result<Option<DeliveryRow>, StorageError> {
    let value = views.get(&keys::delivery(delivery))?;
    let row = value.map(|value| postcard::from_bytes(&value).map_err(StorageError::undecodable("a delivery's row")));
    row.transpose()
}
