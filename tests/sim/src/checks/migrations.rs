//! The versions of keys' states: each key is migrated once, before its first delivery under a later version.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{Commit, Deployed, HandlerName, Manifest, Outcome, Position, Repaired, StateWrite};

use super::{Checked, Checks, Rule, check};

/// By the records.
#[derive(Debug, Default)]
pub struct StateVersions {
    /// The version that each deployment reads and writes.
    deployments: BTreeMap<Position, (HandlerName, u32)>,
    /// That of each key with state.
    keys: BTreeMap<(HandlerName, String), u32>,
    /// The names of the values of each key.
    values: BTreeMap<(HandlerName, String), BTreeSet<String>>,
}

impl StateVersions {
    /// The version of the handler's newest deployment.
    #[must_use]
    pub fn latest(&self, handler: &HandlerName) -> Option<u32> {
        self.deployments.values().rev().find(|(name, _)| name == handler).map(|(_, version)| *version)
    }

    pub fn repaired(&mut self, repaired: &Repaired) {
        self.written((repaired.handler.clone(), repaired.key.clone()), &repaired.effects.state, repaired.state_version);
    }

    /// State without a value has no version.
    fn written(&mut self, key: (HandlerName, String), state: &[StateWrite], version: u32) {
        if state.is_empty() {
            return;
        }
        let values = self.values.entry(key.clone()).or_default();
        for StateWrite { name, value } in state {
            match value {
                Some(_) => drop(values.insert(name.clone())),
                None => drop(values.remove(name)),
            }
        }
        match values.is_empty() {
            true => drop(self.keys.remove(&key)),
            false => drop(self.keys.insert(key, version)),
        }
    }

    /// A removed handler's state is gone.
    pub fn removed(&mut self, handler: &HandlerName) {
        self.deployments.retain(|_, (name, _)| name != handler);
        self.keys.retain(|(name, _), _| name != handler);
        self.values.retain(|(name, _), _| name != handler);
    }
}

/// The manifest with this version of the state.
#[must_use]
pub fn with(manifest: &str, version: u32) -> String {
    format!(r#"{},"state_version":{version}}}"#, manifest.strip_suffix('}').unwrap_or(manifest))
}

impl Checks {
    pub(super) fn state_version_deployed(&mut self, position: Position, deployed: &Deployed) -> Checked {
        let manifest = Manifest::from_record(&deployed.manifest).unwrap_or_else(|error| panic!("{error}"));
        let (handler, version) = (&deployed.handler, manifest.state_version);
        let latest = self.state_versions.latest(handler);
        self.state_versions.deployments.insert(position, (handler.clone(), version));
        check(Rule::Migrations, latest <= Some(version), || format!("{handler} goes from {latest:?} to {version}"))
    }

    pub(super) fn migrated(&mut self, commit: &Commit) -> Checked {
        if !matches!(commit.outcome, Outcome::Completed | Outcome::Withheld) {
            return Ok(());
        }
        let versions = &mut self.state_versions;
        let wanted = versions.deployments.get(&commit.version).map_or(0, |(_, version)| *version);
        let key = (commit.handler.clone(), commit.key.clone());
        let from = versions.keys.get(&key).copied().filter(|version| *version != wanted);
        if from.is_some() {
            versions.keys.insert(key.clone(), wanted);
        }
        versions.written(key, &commit.effects.state, wanted);
        let is_right = (commit.state_version, commit.migrated_from) == (wanted, from);
        check(Rule::Migrations, is_right, || {
            let has = (commit.migrated_from, commit.state_version);
            format!("{} migrates {has:?}, and the state has {from:?} of {wanted}", commit.delivery())
        })
    }
}
