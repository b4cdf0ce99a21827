//! `PUT /v1/handlers/{name}`: deploying a version of a handler, or only checking it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{Candidate, Refusal};
use weirgate_types::{CapabilityChange, Digest, HandlerName, Manifest, ManifestError, OnDeploy};

use super::{
    audit::{Actor, Reason, audit},
    checks::CheckItem,
    handlers::HandlerItem,
    problems::{DeploymentConflict, ManifestRefused, NoSuchModule, VerificationRefused},
    query::{Json, Named, Query},
    versions::Change,
};
use crate::{Problem, app::App};

/// Default and maximum number of recorded attempts that a plan executes again.
const SAMPLE_DEFAULT: usize = 100;
const SAMPLE_MAX: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeploymentQuery {
    /// Only check it, and say what it would change (default: no).
    #[serde(default)]
    plan: bool,
    /// With `plan`: how many of the handler's last recorded attempts are executed again under the new version, without effects
    /// (default 100, at most 1,000; 0: none).
    #[param(minimum = 0, maximum = 1000)]
    sample: Option<usize>,
    /// The `approve` of the plan: the new version may do what its plan says.
    #[param(value_type = Option<Digest>, inline)]
    approve: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The digest from `PUT /v1/modules`, or its first digits.
    #[schema(pattern = "^(sha256:)?[0-9a-fA-F]{4,64}$")]
    digest: String,
    manifest: Manifest,
    /// Whether deliveries that wait for a retry run at once under the new version, with all their attempts (default: no). Dead
    /// letters stay.
    #[serde(default)]
    retry_waiting: bool,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// What a deployment would do.
#[derive(Serialize, ToSchema)]
pub struct DeploymentPlan {
    name: String,
    #[schema(value_type = Digest)]
    digest: String,
    /// The number of the version in force; absent for a new handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<u32>,
    /// Whether the module differs from that of the version in force.
    module_changed: bool,
    /// The settings that differ from those of the version in force.
    changes: Vec<Change>,
    /// What the version may do that the one in force may not, and the other way round.
    capabilities: Vec<CapabilityItem>,
    /// What `approve` has to be for the deployment; absent if it needs no approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Digest>)]
    approve: Option<String>,
    /// How recorded attempts end under the version; absent for a new handler, and with `sample=0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckItem>,
}

/// Something that a handler may do, before and after; absent where it may not.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CapabilityItem {
    /// `hosts`, `secrets`, `imports`, `subscriptions`, `schedules`, `concurrency`, or for instance `limits.cpu_ms`.
    capability: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// Whether the handler may do more: then it has to be approved.
    grows: bool,
}

/// What a version may do that the one in force may not.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Growth {
    capabilities: Vec<CapabilityItem>,
    /// The parameter `approve` that approves exactly these.
    #[schema(value_type = Digest)]
    approve: String,
}

impl From<&weirgate_engine::Growth> for Growth {
    fn from(growth: &weirgate_engine::Growth) -> Self {
        let capabilities = growth.capabilities.iter().map(Into::into).collect();
        Self { capabilities, approve: growth.digest.to_string() }
    }
}

impl From<&CapabilityChange> for CapabilityItem {
    fn from(change: &CapabilityChange) -> Self {
        let CapabilityChange { capability, before, after, grows } = change.clone();
        Self { capability, before, after, grows }
    }
}

/// A handler that was deployed, or the plan.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Deployed {
    Handler(Box<HandlerItem>),
    Plan(Box<DeploymentPlan>),
}

/// Create a handler, or deploy another version or other settings. Takes effect at a position of the log: running attempts are
/// discarded, and run again under the new version. The version that is in force again changes nothing. A version that may do more than the
/// one in force is deployed only if that is approved.
#[utoipa::path(
    put, path = "/v1/handlers/{name}", operation_id = "deploy_handler", tag = "handlers",
    params(("name" = inline(HandlerName), Path), DeploymentQuery), request_body = Deployment,
    responses(
        (status = 200, description = "Durable; the handler, with the next three times of each schedule. Or the plan", body = Deployed),
        NoSuchModule, DeploymentConflict, ManifestRefused, VerificationRefused,
    ),
)]
pub async fn put(
    State(app): State<App>,
    Named(name): Named<HandlerName>,
    Query(query): Query<DeploymentQuery>,
    Json(deployment): Json<Deployment>,
) -> Result<axum::Json<Deployed>, Problem> {
    let Deployment { digest, manifest, retry_waiting, actor, reason } = deployment;
    let audit = audit(actor, reason)?;
    let sample = sample(query.sample)?;
    let approve = approval(query.approve)?;
    if name != manifest.name {
        let detail = format!("the manifest is named {}, but the path has {name}", manifest.name);
        return Err(Problem::bad_request("name-mismatch", detail));
    }
    let digest = app.engine.digest(&digest).await?;
    if query.plan {
        let candidate = app.engine.candidate(manifest, digest).await?;
        return Ok(axum::Json(Deployed::Plan(Box::new(plan(&app, &candidate, sample).await?))));
    }
    if retry_waiting && manifest.on_deploy == OnDeploy::Finish {
        return Err(Refusal::from(ManifestError::Conflict(
            "with `on_deploy = \"finish\"` what waits for a retry stays with its version: leave out `retry_waiting`, or deploy with `move`",
        ))
        .into());
    }
    let item = app.engine.deploy(manifest, digest, approve, audit.clone()).await?;
    let handler = HandlerItem::deployed(&app, item, retry_waiting.then_some(audit)).await?;
    Ok(axum::Json(Deployed::Handler(Box::new(handler))))
}

/// The digest of what is approved.
pub fn approval(text: Option<String>) -> Result<Option<Digest>, Problem> {
    Ok(text.map(|text| Digest::whole(&text)).transpose()?)
}

fn sample(wanted: Option<usize>) -> Result<usize, Problem> {
    let sample = wanted.unwrap_or(SAMPLE_DEFAULT);
    if sample <= SAMPLE_MAX {
        return Ok(sample);
    }
    let detail = format!("sample={sample} is out of range; allowed are 0 to {SAMPLE_MAX}");
    Err(Problem::bad_request("bad-query", detail))
}

async fn plan(app: &App, candidate: &Candidate, sample: usize) -> Result<DeploymentPlan, Problem> {
    let digest = candidate.module.info().digest;
    let replaces = match &candidate.replaces {
        Some(item) => app.engine.described(vec![item.clone()]).await?.pop(),
        None => None,
    };
    let check = match candidate.replaces.is_some() && sample > 0 {
        true => Some(CheckItem::of(app.engine.check(candidate, sample).await?, candidate.new_subscriptions())),
        false => None,
    };
    Ok(DeploymentPlan {
        name: candidate.manifest.name.to_string(),
        digest: digest.to_string(),
        module_changed: replaces.as_ref().is_some_and(|item| item.digest != digest),
        replaces: replaces.and_then(|item| item.version_number),
        changes: candidate.changes.iter().cloned().map(Change::of).collect::<Result<_, Problem>>()?,
        capabilities: candidate.capabilities.iter().map(Into::into).collect(),
        approve: candidate.growth().map(|growth| growth.digest.to_string()),
        check,
    })
}
