//! Deployments: what is checked of a version before it is in force, and what it may do that the version before may not.

use sha2::{Digest as _, Sha256};
use weirgate_host::Module;
use weirgate_types::{
    CapabilityChange, Deployed, Digest, HandlerName, Manifest, ManifestError, MayDo, Position, SettingChange,
};

use super::Handle;
use crate::{Audit, HandlerItem, Refusal, StorageError, command::Command};

/// How often a deployment is planned anew because another one came first.
const TRIES: usize = 3;

/// A version that could be deployed: its manifest and its module are sound, and fit each other.
pub struct Candidate {
    pub manifest: Manifest,
    pub module: Module,
    /// The version in force; `None`: the handler is new.
    pub replaces: Option<HandlerItem>,
    /// What its manifest changes against the version in force.
    pub changes: Vec<SettingChange>,
    /// What it may do that the version in force may not, and the other way round.
    pub capabilities: Vec<CapabilityChange>,
    /// The earlier version that it is.
    copied_from: Option<Position>,
}

/// What a version may do that the one in force may not. It is deployed if that is approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    pub handler: HandlerName,
    pub capabilities: Vec<CapabilityChange>,
    /// Names exactly these: approving it approves nothing else.
    pub digest: Digest,
}

impl Candidate {
    /// What has to be approved before it is deployed.
    #[must_use]
    pub fn growth(&self) -> Option<Growth> {
        let grown: Vec<_> = self.capabilities.iter().filter(|change| change.grows).cloned().collect();
        if grown.is_empty() {
            return None;
        }
        let handler = self.manifest.name.clone();
        Some(Growth { digest: digest_of(&handler, &grown), handler, capabilities: grown })
    }

    /// The subscriptions that match events which the version in force did not get.
    #[must_use]
    pub fn new_subscriptions(&self) -> Vec<String> {
        let new = self.capabilities.iter().filter(|change| change.grows && change.capability == "subscriptions");
        new.filter_map(|change| change.after.clone()).collect()
    }
}

fn digest_of(handler: &HandlerName, grown: &[CapabilityChange]) -> Digest {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // With their lengths, so that no two lists have the same bytes.
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(handler.as_str());
    for CapabilityChange { capability, before, after, .. } in grown {
        add(capability);
        for value in [before, after] {
            add(if value.is_some() { "value" } else { "none" });
            add(value.as_deref().unwrap_or_default());
        }
    }
    Digest(hash.finalize().into())
}

impl Handle {
    /// Checks a version as a deployment does, and says what it would change.
    ///
    /// # Errors
    /// The manifest's settings are out of range or do not fit the module, it names a secret that is not bound to it, or the
    /// module does not exist.
    pub async fn candidate(&self, manifest: Manifest, digest: Digest) -> Result<Candidate, Refusal> {
        let manifest = manifest.checked()?;
        for one in &manifest.schedules {
            let wrong = |reason| ManifestError::Schedule { name: one.name.clone(), reason };
            weirgate_core::schedule::check(&one.cron).map_err(wrong)?;
        }
        self.0.secrets.check(&manifest)?;
        let module = self.load(digest).await?;
        if manifest.batch.is_some() && !module.is_batch() {
            return Err(ManifestError::Conflict(
                "`[batch]` is for components that export `handle-batch`; this one exports `handle`, which takes one delivery",
            )
            .into());
        }
        let replaces = match self.handler(manifest.name.clone()).await {
            Ok(item) => Some(item),
            Err(Refusal::UnknownHandler(_)) => None,
            Err(refusal) => return Err(refusal),
        };
        let (mut changes, mut capabilities) = (Vec::new(), Vec::new());
        if let Some(old) = &replaces {
            changes = old.manifest.changes(&manifest);
            // Without its module, nothing is known of what it imported.
            let imports = self.load(old.digest).await.map(|module| module.info().imports.clone()).unwrap_or_default();
            let before = MayDo { manifest: &old.manifest, imports: &imports };
            capabilities = before.changes(&MayDo { manifest: &manifest, imports: &module.info().imports });
        }
        Ok(Candidate { manifest, module, replaces, changes, capabilities, copied_from: None })
    }

    /// Creates a handler, or deploys another version or other settings of it. `approve` is the digest of what it may do beyond the version
    /// in force.
    ///
    /// # Errors
    /// As for [`Handle::candidate`]; [`Refusal::NeedsApproval`].
    pub async fn deploy(
        &self,
        manifest: Manifest,
        digest: Digest,
        approve: Option<Digest>,
        audit: Audit,
    ) -> Result<HandlerItem, Refusal> {
        let mut tries = 1;
        loop {
            let candidate = self.candidate(manifest.clone(), digest).await?;
            match self.deploy_candidate(candidate, approve, audit.clone()).await {
                Err(Refusal::VersionChanged(_)) if tries < TRIES => tries += 1,
                deployed => return deployed,
            }
        }
    }

    /// Deploys an earlier version again, if `replaces` is in force still.
    pub(super) async fn deploy_copy(
        &self,
        (copied_from, copied): (Position, &Deployed),
        replaces: Position,
        approve: Option<Digest>,
        audit: Audit,
    ) -> Result<HandlerItem, Refusal> {
        let candidate = self.candidate(Manifest::from_record(&copied.manifest)?, copied.digest).await?;
        if candidate.replaces.as_ref().map(|item| item.version) != Some(replaces) {
            return Err(Refusal::VersionChanged(candidate.manifest.name));
        }
        let candidate = Candidate { copied_from: Some(copied_from), ..candidate };
        self.deploy_candidate(candidate, approve, audit).await
    }

    async fn deploy_candidate(
        &self,
        candidate: Candidate,
        approve: Option<Digest>,
        audit: Audit,
    ) -> Result<HandlerItem, Refusal> {
        if let Some(growth) = candidate.growth().filter(|growth| approve != Some(growth.digest)) {
            return Err(Refusal::NeedsApproval(Box::new(growth)));
        }
        let Candidate { manifest, module, replaces, copied_from, .. } = candidate;
        let json = serde_json::to_string(&manifest).map_err(StorageError::encode("the manifest"))?;
        let (Audit { actor, reason }, replaces) = (audit, replaces.map(|item| item.version));
        // The writer sets the time.
        let (handler, digest, manifest, at_ms, wall_ms) = (manifest.name, module.info().digest, json, 0, 0);
        // So are the versions that finish.
        let finishing = Vec::new();
        let deployed = Deployed { handler, digest, manifest, actor, reason, copied_from, finishing, at_ms, wall_ms };
        let deployed = Box::new(deployed);
        self.ask(|reply| Command::Deploy { deployed, module, replaces, reply }).await
    }
}
