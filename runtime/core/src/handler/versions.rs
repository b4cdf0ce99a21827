//! Under which version a delivery runs: the one in force, or an earlier one that finishes what its key had under way when it
//! was replaced.
//!
//! Each delivery has a position as of which its version is chosen. That is its event's own, unless its key has something
//! under way when it is opened: then it is as early as that. So a fence changes no row, however many there are.

use std::{collections::BTreeSet, sync::Arc};

use weirgate_types::{Deployed, Digest, KeyHash, Manifest, Position};

use super::Handler;
use crate::DeliveryRow;

/// An earlier version, with the position of its deployment.
#[derive(Debug, Clone)]
pub struct Version {
    pub position: Position,
    pub deployed: Deployed,
    pub manifest: Arc<Manifest>,
}

/// Deliveries of a lane that moved to another version.
#[derive(Debug)]
pub struct MovedLane {
    pub lane: KeyHash,
    pub version: Position,
    /// Changed rows.
    pub rows: Vec<(Position, DeliveryRow)>,
    /// Whether the lane has deliveries on disk, too.
    pub has_more: bool,
}

impl Handler {
    /// The version under which a delivery runs.
    pub fn version_of(&self, row: &DeliveryRow) -> Position {
        self.version_as_of(row.as_of)
    }

    pub fn version_as_of(&self, as_of: Position) -> Position {
        choose(self.finishing.iter().map(|version| version.position), self.version(), as_of)
    }

    /// The manifest of a version that deliveries run under.
    pub fn manifest_of(&self, version: Position) -> &Manifest {
        let earlier = self.finishing.iter().find(|one| one.position == version);
        earlier.map_or(&self.manifest, |one| &one.manifest)
    }

    /// The earlier versions that may still have something to finish, in order of position.
    pub fn finishing(&self) -> &[Version] {
        &self.finishing
    }

    /// The version in force and earlier ones, as far as open deliveries need them: all, if some deliveries are on disk or not
    /// opened yet. `head` is the log's.
    pub fn versions_of_open(&self, head: Position) -> BTreeSet<Position> {
        let has_unknown = self.lanes.spilled.rows() > 0 || self.scanned < head;
        let all = self.finishing.iter().map(|one| one.position).chain([self.version()]);
        match has_unknown {
            true => all.collect(),
            false => self.lanes.rows().map(|row| self.version_of(row)).collect(),
        }
    }

    /// The modules of all versions that deliveries run under.
    fn digests(&self) -> BTreeSet<Digest> {
        self.finishing.iter().map(|one| one.deployed.digest).chain([self.deployed.digest]).collect()
    }

    /// Whether the modules of all its versions can be called.
    pub fn is_ready(&self) -> bool {
        self.loaded.contains(&self.deployed.digest)
            && self.finishing.iter().all(|one| self.loaded.contains(&one.deployed.digest))
    }

    /// A module can be called, or cannot.
    pub fn set_loaded(&mut self, digest: Digest, is_loaded: bool) {
        match is_loaded && self.digests().contains(&digest) {
            true => self.loaded.insert(digest),
            false => self.loaded.remove(&digest),
        };
    }

    /// The version in force is replaced. Those that `stay` finish what is under way.
    pub(super) fn replace(&mut self, position: Position, deployed: Deployed, manifest: Manifest) {
        let stay = deployed.finishing.clone();
        let before = Version {
            position: std::mem::replace(&mut self.deployed_at, position),
            deployed: std::mem::replace(&mut self.deployed, deployed),
            manifest: std::mem::replace(&mut self.manifest, Arc::new(manifest)),
        };
        self.finishing.push(before);
        self.finishing.retain(|version| stay.contains(&version.position));
        let digests = self.digests();
        self.loaded.retain(|digest| digests.contains(digest));
    }

    /// Whether the attempt that runs is of a version that may commit it.
    pub(super) fn keeps_attempt(&self) -> impl Fn(&DeliveryRow) -> bool + use<> {
        let earlier: Vec<_> = self.finishing.iter().map(|version| version.position).collect();
        let version = self.version();
        move |row| choose(earlier.iter().copied(), version, row.as_of) == row.version
    }

    /// An attempt begins under another version than is chosen here. Only in a replay of the log: a handler that lagged then, or lags
    /// now, opens a delivery before or after what its key has under way has ended. All open deliveries of a key run under one
    /// version, so the others move to that one too. `None` if nothing moves.
    pub fn move_lane(&mut self, position: Position, version: Position) -> Option<MovedLane> {
        // No delivery runs under a version before all events from before it are scanned.
        self.reached = self.reached.max(version.before());
        let row = self.lanes.get(position).filter(|row| self.version_of(row) != version)?;
        Some(self.move_lane_to(row.lane, version))
    }

    /// A replay of the log comes to the repair of a key. It was made while no earlier version had anything of the key to finish, and its state has
    /// the form of the repairing version since: what is open here, because the handler lagged then, moves to that one.
    pub fn move_repaired(&mut self, lane: KeyHash, version: Position) -> Option<MovedLane> {
        if self.finishing.is_empty() {
            return None;
        }
        let differs = self.open_of(lane).any(|row| self.version_of(row) != version);
        (differs || self.lanes.spilled.holds(lane)).then(|| self.move_lane_to(lane, version))
    }

    /// The same for a delivery that is opened now and whose attempts are known already.
    pub(super) fn join_lane(&mut self, row: &mut DeliveryRow) -> Option<MovedLane> {
        let lane = row.lane;
        let attempted = self.open_of(lane).filter(|other| other.attempt > 0).map(|other| self.version_of(other));
        let version = attempted.chain([self.version_of(row)]).max()?;
        row.as_of = version;
        let differs = self.open_of(lane).any(|other| self.version_of(other) != version);
        (differs || self.lanes.spilled.holds(lane)).then(|| self.move_lane_to(lane, version))
    }

    fn move_lane_to(&mut self, lane: KeyHash, version: Position) -> MovedLane {
        let mut rows = self.lanes.spilled.move_late(lane, version);
        for other in self.lanes.of_lane(lane) {
            let changed = self.lanes.change(other, |row| row.as_of = version);
            rows.extend(changed.map(|row| (other, row.clone())));
        }
        MovedLane { lane, version, rows, has_more: self.lanes.spilled.holds(lane) }
    }

    /// The open deliveries of a lane, but for those that can be read on disk.
    fn open_of(&self, lane: KeyHash) -> impl Iterator<Item = &DeliveryRow> {
        let open = self.lanes.of_lane(lane).into_iter().filter_map(|position| self.lanes.get(position));
        open.chain(self.lanes.spilled.late_of(lane))
    }

    /// As of which position the version of a delivery is chosen that is opened now. `own` is where it would be if its key had
    /// nothing under way.
    pub(super) fn as_of(&self, lane: KeyHash, key: KeyHash, own: Position) -> Position {
        if self.finishing.is_empty() {
            return own;
        }
        let open = self.open_of(lane).filter(|row| row.key == key).map(|row| row.as_of);
        let reported = self.under_way.get(&key).copied();
        open.chain(reported).chain([own]).min().unwrap_or(own)
    }
}

/// The last version from before `as_of`; what is older moved to the first of them.
fn choose(earlier: impl Iterator<Item = Position>, in_force: Position, as_of: Position) -> Position {
    let mut chosen = None;
    for version in earlier.chain([in_force]) {
        if version <= as_of || chosen.is_none() {
            chosen = Some(version);
        }
    }
    chosen.unwrap_or(in_force)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_last_from_before_that_finishes() {
        let chosen =
            |earlier: &[u64], as_of| choose(earlier.iter().copied().map(Position), Position(30), Position(as_of)).0;
        assert_eq!([5, 10, 29, 30, 31].map(|as_of| chosen(&[], as_of)), [30; 5], "everything moves");
        assert_eq!([5, 10, 19, 20, 29, 30, 31].map(|as_of| chosen(&[10, 20], as_of)), [10, 10, 10, 20, 20, 30, 30]);
        assert_eq!(
            [5, 10, 25, 30].map(|as_of| chosen(&[10], as_of)),
            [10, 10, 10, 30],
            "20 moved nothing, and is gone"
        );
    }
}
