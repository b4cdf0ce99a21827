//! Which version an attempt begins under: the one in force, or an earlier one that finishes what its key has under way.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{Commit, DeliveryId, KeyHash, KeyHasher, Position, Record, TimerId};

use super::{Checked, Checks, Item, Rule, Watched, check};

/// The version that set each timer, and up to which position it was pending, if it is not any more.
#[derive(Debug, Default)]
pub struct TimerVersions(BTreeMap<TimerId, (Position, Option<Position>)>);

impl TimerVersions {
    pub fn set(&mut self, timer: TimerId, version: Position) {
        self.0.insert(timer, (version, None));
    }

    /// It was cancelled or fires by the record that ends at `until`: it is pending before that record.
    pub fn ended(&mut self, timer: &TimerId, until: Position) {
        if let Some((_, pending)) = self.0.get_mut(timer) {
            *pending = Some(until);
        }
    }

    pub fn forget(&mut self, is_gone: impl Fn(&TimerId) -> bool) {
        self.0.retain(|timer, _| !is_gone(timer));
    }

    fn of(&self, handler: usize, key: KeyHash, head: Position) -> impl Iterator<Item = Position> {
        let of_key = self.0.iter().filter(move |(timer, _)| {
            super::index_of(&timer.handler) == handler && KeyHasher::default().hash(&timer.key) == key
        });
        of_key.filter(move |(_, (_, until))| until.is_none_or(|until| until >= head)).map(|(_, (version, _))| *version)
    }
}

impl Checks {
    /// As of which positions the version of a delivery may be chosen that `record` opens: that of anything that its key has under
    /// way, or its own, since a handler that lags opens it when some of that has ended.
    pub(super) fn as_of(
        &self,
        index: usize,
        key: KeyHash,
        own: Position,
        record: Option<&Record>,
    ) -> BTreeSet<Position> {
        let Some(watched) = self.handlers.get(index).filter(|watched| !watched.finishing.is_empty()) else {
            return BTreeSet::from([own]);
        };
        let open = watched.open.iter().filter_map(|position| watched.items.get(position));
        let open = open.filter(|item| item.key == key).flat_map(|item| item.as_of.iter().copied());
        let timers = self.timer_versions.of(index, key, self.head);
        let commits = record.map(Record::commits).unwrap_or_default().iter();
        let own_commits = commits.filter(|commit: &&Commit| {
            super::index_of(&commit.handler) == index && KeyHasher::default().hash(&commit.key) == key
        });
        open.chain(timers).chain(own_commits.map(|commit| commit.version)).chain([own]).collect()
    }
}

impl Watched {
    pub(super) fn check_version(&mut self, delivery: &DeliveryId, version: Position) -> Checked {
        let Some(item) = self.items.get(&delivery.position) else { return Ok(()) };
        let before = self.key_versions.insert(item.key, version);
        let never_back = || format!("{delivery} begins under {version}, and its key was at {before:?}");
        check(Rule::Versions, before <= Some(version), never_back)?;
        let in_force = self.versions.last().map(|(from, _)| *from);
        let stays = item.attempt > 0 && self.finishing.contains(&item.version);
        let may: Vec<_> = match stays {
            true => vec![item.version],
            false => item.as_of.iter().filter_map(|as_of| self.version_as_of(*as_of)).collect(),
        };
        check(Rule::Versions, may.contains(&version), || {
            let finishing = &self.finishing;
            format!(
                "{delivery} begins under {version}, not {may:?}; in force is {in_force:?}, {finishing:?} finish: {item:?}"
            )
        })
    }

    /// The last version from before a position, of the one in force and those that finish; what is older moved to the first.
    fn version_as_of(&self, as_of: Position) -> Option<Position> {
        let in_force = self.versions.last().map(|(from, _)| *from);
        let all: Vec<_> = self.finishing.iter().copied().chain(in_force).collect();
        all.iter().rfind(|version| **version <= as_of).or(all.first()).copied()
    }

    /// Whether a deployment leaves a running attempt to its version.
    pub(super) fn keeps_attempt(&self, item: &Item) -> bool {
        self.finishing.contains(&item.version)
    }
}

/// The manifest with `on_deploy = "finish"`.
#[must_use]
pub fn to_finish(manifest: &str) -> String {
    format!(r#"{},"on_deploy":"finish"}}"#, manifest.strip_suffix('}').unwrap_or(manifest))
}
