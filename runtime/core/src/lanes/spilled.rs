//! Spilled lanes: their deliveries are on disk only. Memory holds the lanes' names and the next due time; needed lanes are
//! reloaded.
//!
//! Spilled rows are readable from the next durable moment on; until then they are remembered as late.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use weirgate_types::{KeyHash, Position};

use crate::{DeliveryRow, NextDue, OfferChange, PerWait, Rank};

#[derive(Debug, Default)]
pub struct Spilled {
    /// The lanes with deliveries on disk: nine to eighteen bytes per lane. Never iterated.
    lanes: HashSet<KeyHash, BuildHasherDefault<OwnHash>>,
    rows: usize,
    next_due_ms: PerWait<Option<u64>>,
    /// That of the lanes that may not be readable yet.
    next_late_due_ms: PerWait<Option<u64>>,
    /// Spilled rows that may not be readable yet.
    late: BTreeMap<KeyHash, Vec<(Position, DeliveryRow)>>,
    /// Lanes to reload.
    wanted: BTreeSet<KeyHash>,
    /// Corrections for spilled lanes, by lane and key.
    offers: BTreeMap<(KeyHash, KeyHash), Position>,
    /// The corrections that changed since [`Spilled::take_offer_changes`].
    offers_changed: BTreeSet<(KeyHash, KeyHash)>,
}

/// Keys are hashes already, so no second hash is needed.
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

impl Spilled {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn holds(&self, lane: KeyHash) -> bool {
        self.lanes.contains(&lane)
    }

    pub fn next_due_ms(&self) -> PerWait<Option<u64>> {
        self.next_due_ms
    }

    /// A delivery is spilled.
    pub fn put(&mut self, row: &DeliveryRow) {
        self.rows += 1;
        self.lanes.insert(row.lane);
        if let Some((due_ms, wait)) = row.phase.due()
            && row.leads
        {
            for next in [self.next_due_ms.of(wait), self.next_late_due_ms.of(wait)] {
                *next = Some(next.map_or(due_ms, |next| next.min(due_ms)));
            }
        }
    }

    /// A delivery is spilled in this pass.
    pub fn put_late(&mut self, position: Position, mut row: DeliveryRow) {
        row.spilled = true;
        self.put(&row);
        self.late.entry(row.lane).or_default().push((position, row));
    }

    /// All rows spilled so far are readable now.
    pub fn settled(&mut self) {
        self.late.clear();
        self.next_late_due_ms = PerWait::default();
    }

    /// The lane's last delivery in memory has left; those on disk are next.
    pub fn want_rest_of(&mut self, lane: KeyHash) {
        match self.holds(lane) {
            true => self.wanted.insert(lane),
            // Only its next number could be needed, and no delivery waits for that any more.
            false => self.wanted.remove(&lane),
        };
    }

    /// The lane's deliveries on disk are to be reloaded, with its next number.
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

    /// Corrections that changed since the last call.
    pub fn take_offer_changes(&mut self) -> Vec<OfferChange> {
        let changed = std::mem::take(&mut self.offers_changed).into_iter();
        let change = |(lane, key)| OfferChange { lane, key, correction: self.offers.get(&(lane, key)).copied() };
        changed.map(change).collect()
    }

    /// The correction that came for a spilled delivery.
    pub fn offer_for(&self, position: Position, row: &DeliveryRow) -> Option<Position> {
        self.offers.get(&(row.lane, row.key)).copied().filter(|correction| row.takes(position, *correction))
    }

    /// At most `most` of the lanes to reload.
    pub fn take_wanted(&mut self, most: usize) -> Vec<KeyHash> {
        let taken: Vec<_> = self.wanted.iter().copied().take(most).collect();
        for lane in &taken {
            self.wanted.remove(lane);
        }
        taken
    }

    /// Due lanes were reloaded; the next one that is readable is due then.
    pub fn set_next_due_ms(&mut self, next: PerWait<Option<NextDue>>) {
        let (known, late) = (&mut self.next_due_ms, self.next_late_due_ms);
        for (known, next, late) in
            [(&mut known.retries, next.retries, late.retries), (&mut known.gaps, next.gaps, late.gaps)]
        {
            if let Some(NextDue(next_due_ms)) = next {
                *known = next_due_ms.into_iter().chain(late).min();
            }
        }
    }

    /// A delivery was reloaded.
    pub fn took(&mut self) {
        self.rows = self.rows.saturating_sub(1);
    }

    /// The rows of a lane that are not readable yet: those before `rank`, or all.
    pub fn take_late(&mut self, lane: KeyHash, rank: Option<Rank>) -> Vec<(Position, DeliveryRow)> {
        let Some(rows) = self.late.get_mut(&lane) else { return Vec::new() };
        rows.extract_if(.., |(other, row)| rank.is_none_or(|rank| row.rank(*other) < rank)).collect()
    }

    /// The rows of a lane that may not be readable yet.
    pub fn late_of(&self, lane: KeyHash) -> impl Iterator<Item = &DeliveryRow> {
        self.late.get(&lane).into_iter().flatten().map(|(_, row)| row)
    }

    /// The rows of a lane that may not be readable yet move to another version. Returns them.
    pub fn move_late(&mut self, lane: KeyHash, version: Position) -> Vec<(Position, DeliveryRow)> {
        let rows = self.late.get_mut(&lane).into_iter().flatten();
        let change = |(position, row): &mut (Position, DeliveryRow)| {
            row.as_of = version;
            (*position, row.clone())
        };
        rows.map(change).collect()
    }

    /// The lane has nothing left on disk.
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
            self.next_due_ms = PerWait::default();
        }
    }
}
