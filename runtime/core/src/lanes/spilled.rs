//! Spilled lanes: their deliveries wait on disk only. Memory knows the names of their lanes, and when the next one is due; what is
//! needed is reloaded.
//!
//! What was put there is certain to be found there from the next durable moment on; until then it is remembered as late.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use weirgate_types::{KeyHash, Position};

use crate::{DeliveryRow, OfferChange, Rank};

#[derive(Debug, Default)]
pub struct SpilledLanes {
    /// The lanes that have deliveries there: nine to eighteen bytes a lane. Never iterated.
    lanes: HashSet<KeyHash, BuildHasherDefault<OwnHash>>,
    rows: usize,
    next_due_ms: Option<u64>,
    /// The same of those that may not be found yet.
    next_late_due_ms: Option<u64>,
    /// What was put there and may not be found yet.
    late: BTreeMap<KeyHash, Vec<(Position, DeliveryRow)>>,
    /// Lanes that are to be reloaded.
    wanted: BTreeSet<KeyHash>,
    /// Corrections for lanes there, by lane and key.
    offers: BTreeMap<(KeyHash, KeyHash), Position>,
    /// Which of them changed since [`SpilledLanes::take_offer_changes`].
    offers_changed: BTreeSet<(KeyHash, KeyHash)>,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct OwnHash(u64);

impl Hasher for OwnHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl SpilledLanes {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn holds(&self, lane: KeyHash) -> bool {
        self.lanes.contains(&lane)
    }

    pub fn next_due_ms(&self) -> Option<u64> {
        self.next_due_ms
    }

    /// A delivery is spilled.
    pub fn put(&mut self, row: &DeliveryRow) {
        self.rows += 1;
        self.lanes.insert(row.lane);
        if let Some((due_ms, _)) = row.phase.due()
            && row.leads
        {
            for next in [&mut self.next_due_ms, &mut self.next_late_due_ms] {
                *next = Some(next.map_or(due_ms, |next| next.min(due_ms)));
            }
        }
    }

    /// A delivery is spilled with this pass.
    pub fn put_late(&mut self, position: Position, mut row: DeliveryRow) {
        row.spilled = true;
        self.put(&row);
        self.late.entry(row.lane).or_default().push((position, row));
    }

    /// Everything that was put here can be found now.
    pub fn settled(&mut self) {
        self.late.clear();
        self.next_late_due_ms = None;
    }

    /// The lane's last delivery in memory has left; those on disk are next.
    pub fn want_rest_of(&mut self, lane: KeyHash) {
        match self.holds(lane) {
            true => self.wanted.insert(lane),
            // There was nothing to be wanted but its number, which nothing waits for any more.
            false => self.wanted.remove(&lane),
        };
    }

    /// What is there of the lane is to be reloaded, and the number that is next in it.
    pub fn want(&mut self, lane: KeyHash) {
        self.wanted.insert(lane);
    }

    pub fn wants_any(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// A correction for a key of a spilled lane.
    pub fn offer(&mut self, lane: KeyHash, key: KeyHash, correction: Position) {
        self.offers.insert((lane, key), correction);
        self.offers_changed.insert((lane, key));
        self.wanted.insert(lane);
    }

    pub fn offers(&self) -> Vec<(KeyHash, KeyHash, Position)> {
        self.offers.iter().map(|((lane, key), position)| (*lane, *key, *position)).collect()
    }

    /// What changed of the offers since the last time.
    pub fn take_offer_changes(&mut self) -> Vec<OfferChange> {
        let changed = std::mem::take(&mut self.offers_changed).into_iter();
        let change = |(lane, key)| OfferChange { lane, key, correction: self.offers.get(&(lane, key)).copied() };
        changed.map(change).collect()
    }

    /// The correction that came for a delivery there.
    pub fn offer_for(&self, position: Position, row: &DeliveryRow) -> Option<Position> {
        self.offers.get(&(row.lane, row.key)).copied().filter(|correction| row.takes(position, *correction))
    }

    /// At most `most` of the lanes that are wanted.
    pub fn take_wanted(&mut self, most: usize) -> Vec<KeyHash> {
        let taken: Vec<_> = self.wanted.iter().copied().take(most).collect();
        for lane in &taken {
            self.wanted.remove(lane);
        }
        taken
    }

    /// The due ones were reloaded; the next of those that can be found comes then.
    pub fn set_next_due_ms(&mut self, next_due_ms: Option<u64>) {
        self.next_due_ms = next_due_ms.into_iter().chain(self.next_late_due_ms).min();
    }

    /// A delivery was reloaded.
    pub fn took(&mut self) {
        self.rows = self.rows.saturating_sub(1);
    }

    /// Of what could not be found yet: the rows of a lane that come before `rank`, or all.
    pub fn take_late(&mut self, lane: KeyHash, rank: Option<Rank>) -> Vec<(Position, DeliveryRow)> {
        let Some(rows) = self.late.get_mut(&lane) else { return Vec::new() };
        rows.extract_if(.., |(other, row)| rank.is_none_or(|rank| row.rank(*other) < rank)).collect()
    }

    /// Nothing of the lane is left there.
    pub fn emptied(&mut self, lane: KeyHash) {
        self.lanes.remove(&lane);
        self.late.remove(&lane);
        let of_lane = self.offers.range((lane, KeyHash(0))..=(lane, KeyHash(u64::MAX)));
        let gone: Vec<_> = of_lane.map(|(offer, _)| *offer).collect();
        for offer in gone {
            self.offers.remove(&offer);
            self.offers_changed.insert(offer);
        }
        if self.lanes.is_empty() {
            self.next_due_ms = None;
        }
    }
}
