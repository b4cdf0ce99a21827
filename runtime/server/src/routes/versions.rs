//! `/v1/handlers/{name}/versions` and `rollback`: what a handler was, and is again.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::VersionItem as Item;
use weirgate_types::{Digest, HandlerName, Position, SettingChange};

use super::{
    audit::{Actor, Reason, audit},
    deployments::{CapabilityItem, approval},
    handlers::HandlerItem,
    lists::ListSlot,
    problems::{ManifestRefused, NoSuchHandler, NoSuchVersion, RollbackConflict, TooManyLists},
    query::{Body, ForHandler, Query, limit},
    times::rfc3339,
};
use crate::{Problem, app::App};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionsQuery {
    /// Only versions before this one: the `next` of the previous page.
    after: Option<u64>,
    /// The largest number of versions (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct VersionList {
    /// The newest first.
    versions: Vec<VersionItem>,
    /// The value of `after` for the next page; absent at the end. A page may be shorter than `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// What a handler was from one deployment to the next.
#[derive(Serialize, ToSchema)]
pub struct VersionItem {
    /// 1 for the first.
    version: u32,
    /// The position from which it is in force.
    position: u64,
    /// Whether it finishes what its keys had under way when it was replaced (`on_deploy = "finish"`).
    finishing: bool,
    /// The last position at which it was in force; absent for the version that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[schema(value_type = Digest)]
    digest: String,
    /// When it was deployed: RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    deployed_at: String,
    deployed_at_ms: u64,
    actor: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// The version that a rollback copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    copied_from: Option<u32>,
    /// Whether its module differs from that of the version before.
    module_changed: bool,
    /// The settings of its manifest that differ from those of the version before.
    changes: Vec<Change>,
    /// The manifest.
    #[schema(value_type = weirgate_types::Manifest)]
    manifest: Box<RawValue>,
    /// Number of deliveries that it completed.
    completed: u64,
    /// Number of attempts that failed, without those that did not count.
    failed: u64,
    /// Number of dead letters.
    dead_lettered: u64,
    /// CPU time of its calls, in milliseconds.
    cpu_ms: u64,
}

/// A setting with its values before and after; absent where the setting is.
#[derive(Serialize, ToSchema)]
pub struct Change {
    /// For instance `limits.cpu_ms`.
    setting: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    after: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The number of the version; by default the one before the version in force. A rollback counts as the version that it copied.
    to: Option<u32>,
    /// Only say what would be done (default: no).
    #[serde(default)]
    plan: bool,
    /// The `approve` of the plan: the version may do what its plan says.
    #[schema(value_type = Option<Digest>)]
    approve: Option<String>,
    /// Whether deliveries that wait for a retry run at once, with all their attempts (default: no).
    #[serde(default)]
    retry_waiting: bool,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// A rollback, planned or done.
#[derive(Serialize, ToSchema)]
pub struct RollbackItem {
    name: String,
    /// The version that was in force.
    from: u32,
    /// The version that is copied.
    to: u32,
    #[schema(value_type = Digest)]
    digest: String,
    /// Whether the module differs from that of the version that was in force.
    module_changed: bool,
    /// The settings that differ from those of the version that was in force.
    changes: Vec<Change>,
    /// What the version may do that the one in force may not, and the other way round.
    capabilities: Vec<CapabilityItem>,
    /// What `approve` has to be for the rollback; absent if it needs no approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Digest>)]
    approve: Option<String>,
    /// The handler with its new version; absent for a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    handler: Option<HandlerItem>,
}

/// The versions of a handler, the newest first.
#[utoipa::path(
    get, path = "/v1/handlers/{name}/versions", operation_id = "list_versions", tag = "handlers",
    params(("name" = inline(HandlerName), Path), VersionsQuery),
    responses(
        (status = 200, description = "The versions", body = VersionList),
        NoSuchHandler, TooManyLists,
    ),
)]
pub async fn list(
    State(app): State<App>,
    ForHandler(name): ForHandler,
    Query(query): Query<VersionsQuery>,
) -> Result<Response, Problem> {
    let slot = ListSlot::take(&app).await?;
    let page = app.engine.versions(name, query.after.map(Position), limit(query.limit)?).await?;
    let versions = page.versions.into_iter().map(VersionItem::of).collect::<Result<_, Problem>>()?;
    slot.answer(VersionList { versions, next: page.next.map(|next| next.0) }).await
}

/// Deploy an earlier version again: its module and its manifest, as a new version.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/rollback", operation_id = "roll_back_handler", tag = "handlers",
    params(("name" = inline(HandlerName), Path)), request_body(content = Option<RollbackBody>),
    responses(
        (status = 200, description = "Durable; or the plan", body = RollbackItem),
        NoSuchVersion, RollbackConflict, ManifestRefused,
    ),
)]
pub async fn roll_back(
    State(app): State<App>,
    ForHandler(name): ForHandler,
    Body(body): Body<RollbackBody>,
) -> Result<axum::Json<RollbackItem>, Problem> {
    let RollbackBody { to, plan: is_plan, approve, retry_waiting, actor, reason } = body;
    let (audit, approve) = (audit(actor, reason)?, approval(approve)?);
    let plan = app.engine.plan_rollback(name.clone(), to).await?;
    let candidate = app.engine.rollback_candidate(&plan).await?;
    let item = RollbackItem {
        name: name.to_string(),
        from: plan.from,
        to: plan.to.row.number,
        digest: plan.to.deployed.digest.to_string(),
        module_changed: plan.to.has_other_module,
        changes: plan.to.changes.iter().cloned().map(Change::of).collect::<Result<_, Problem>>()?,
        capabilities: candidate.capabilities.iter().map(Into::into).collect(),
        approve: candidate.growth().map(|growth| growth.digest.to_string()),
        handler: None,
    };
    if is_plan {
        return Ok(axum::Json(item));
    }
    let handler = app.engine.roll_back(plan, approve, audit.clone()).await?;
    let handler = Some(HandlerItem::deployed(&app, handler, retry_waiting.then_some(audit)).await?);
    Ok(axum::Json(RollbackItem { handler, ..item }))
}

impl VersionItem {
    fn of(item: Item) -> Result<Self, Problem> {
        let Item { row, position, until, deployed, copied_from, changes, has_other_module, is_finishing } = item;
        Ok(Self {
            version: row.number,
            position: position.0,
            finishing: is_finishing,
            until: until.map(|until| until.0),
            digest: deployed.digest.to_string(),
            deployed_at: rfc3339(deployed.at_ms),
            deployed_at_ms: deployed.at_ms,
            actor: deployed.actor,
            reason: deployed.reason,
            copied_from,
            module_changed: has_other_module,
            changes: changes.into_iter().map(Change::of).collect::<Result<_, _>>()?,
            manifest: raw(deployed.manifest)?,
            completed: row.completed,
            failed: row.failed,
            dead_lettered: row.dead,
            cpu_ms: row.cpu_us / 1_000,
        })
    }
}

impl Change {
    pub fn of(change: SettingChange) -> Result<Self, Problem> {
        let SettingChange { setting, before, after } = change;
        Ok(Self { setting, before: before.map(raw).transpose()?, after: after.map(raw).transpose()? })
    }
}

fn raw(json: String) -> Result<Box<RawValue>, Problem> {
    RawValue::from_string(json).map_err(|error| Problem::internal("storage", &error))
}
