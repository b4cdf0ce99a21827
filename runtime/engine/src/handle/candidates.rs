//! The candidates of what-ifs: found, compared with the version in force, and what they may call.

use weirgate_types::{Deployed, HandlerName, Manifest, Position};

use super::{AskedCandidate, Handle, versions};
use crate::{
    Refusal, StorageError,
    replay::{Candidate, Runs, WhatIf},
};

/// What a candidate that makes calls may not have beyond the version in force.
const OUTSIDE: [&str; 2] = ["hosts", "secrets"];

impl Handle {
    /// The candidate has to be in force: otherwise later deliveries would be handled by another version than the repaired ones.
    /// Returns that version; an undo has none.
    pub(super) async fn check_in_force(&self, request: &WhatIf) -> Result<Option<Position>, Refusal> {
        let Runs::Candidate(candidate) = &request.runs else { return Ok(None) };
        let handler = &request.handler;
        let version = self.handler(handler.clone()).await?.version;
        let deployed = self.deployed(version).await?;
        let [ours, theirs] = [&candidate.manifest, &deployed.manifest].map(|json| Manifest::from_record(json));
        match deployed.digest == candidate.module && ours? == theirs? {
            true => Ok(Some(version)),
            false => Err(Refusal::CandidateNotInForce(handler.clone())),
        }
    }

    pub(super) async fn what_if_candidate(
        &self,
        handler: &HandlerName,
        asked: AskedCandidate,
    ) -> Result<Candidate, Refusal> {
        let (position, deployed) = match asked {
            AskedCandidate::Module(module, manifest) => {
                self.handler(handler.clone()).await?;
                if manifest.name != *handler {
                    return Err(Refusal::Selection(format!("the candidate's manifest is that of {}", manifest.name)));
                }
                let manifest = self.candidate(*manifest, module).await?.manifest;
                let manifest = serde_json::to_string(&manifest).map_err(StorageError::encode("the manifest"))?;
                return Ok(Candidate { module, manifest, version: None });
            }
            AskedCandidate::InForce => {
                let version = self.handler(handler.clone()).await?.version;
                (version, self.deployed(version).await?)
            }
            AskedCandidate::Version(number) => self.version_of_number(handler, number).await?,
        };
        Ok(Candidate { module: deployed.digest, manifest: deployed.manifest, version: Some(position) })
    }

    pub(super) async fn version_of_number(
        &self,
        handler: &HandlerName,
        number: u32,
    ) -> Result<(Position, Deployed), Refusal> {
        self.handler(handler.clone()).await?;
        let (statuses, handler) = (self.0.statuses.clone(), handler.clone());
        self.0.queries.own_read(move || versions::by_number(&statuses, &handler, number)).await?
    }

    async fn deployed(&self, version: Position) -> Result<Deployed, Refusal> {
        let statuses = self.0.statuses.clone();
        Ok(self.0.queries.own_read(move || versions::deployed_at(&statuses, version)).await??)
    }

    /// A candidate that makes calls reaches no host, and sends no secret, that was not approved for its handler.
    pub(super) async fn check_may_call(&self, candidate: &Candidate) -> Result<(), Refusal> {
        let manifest = Manifest::from_record(&candidate.manifest)?;
        let capabilities = self.candidate(manifest, candidate.module).await?.capabilities;
        let grown = capabilities.into_iter().filter(|one| one.grows && OUTSIDE.contains(&one.capability.as_str()));
        let grown: Vec<_> = grown.filter_map(|one| one.after).collect();
        match grown.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Selection(format!(
                "the candidate may reach what the version in force may not ({}); `missing_answers` can be `call` once that is \
                 deployed",
                grown.join(", ")
            ))),
        }
    }
}
