//! Decisions about a replay: approve its plan, apply it, cancel it, or ask for its undo.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use weirgate_engine::{Choices, PlanId};
use weirgate_types::{Digest, HandlerName};

use super::{
    super::{
        audit::{Actor, AuditBody, Reason, audit},
        problems::{AuditRefused, NoSuchReplay, ReplayConflict, ReplayRefused},
        query::{Body, Json, Named},
    },
    Begun, ReplayId, begun,
    item::ReplayItem,
};
use crate::{Problem, app::App};

/// Maximum number of keys that an approval names.
const KEYS_MAX: usize = 1_000;
/// Maximum number of receivers that an approval names.
const RECEIVERS_MAX: usize = 100;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalBody {
    /// The plan's digest, all of it.
    #[schema(value_type = Digest)]
    plan: String,
    /// Only these keys of the plan, at most 1,000 (default: all).
    #[schema(min_items = 1, max_items = 1_000)]
    keys: Option<Vec<String>>,
    /// Whether timers that were due in the past are set, and so fire at once (default: no).
    #[serde(default)]
    fire_past: bool,
    /// Whether calls are made that no record has an answer for, each with its own idempotency key, on keys that need them
    /// (default: no).
    #[serde(default)]
    allow_calls: bool,
    /// Receivers that are folded again, at most 100; the plan names those that may be (default: none).
    #[serde(default)]
    #[schema(value_type = Vec<HandlerName>, max_items = 100)]
    fold_again: Vec<String>,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// Approve the plan of a replay, named by its digest. The candidate has to be in force.
#[utoipa::path(
    post, path = "/v1/replays/{id}/approve", operation_id = "approve_replay", tag = "replays", params(("id" = inline(ReplayId), Path)),
    request_body = ApprovalBody,
    responses((status = 200, description = "Durable", body = ReplayItem), NoSuchReplay, ReplayConflict, ReplayRefused),
)]
pub async fn approve(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Json(body): Json<ApprovalBody>,
) -> Result<axum::Json<ReplayItem>, Problem> {
    let ApprovalBody { plan, keys, fire_past, allow_calls, fold_again, actor, reason } = body;
    let audit = audit(actor, reason)?;
    let named = keys.as_ref().map_or(1, Vec::len);
    if !(1..=KEYS_MAX).contains(&named) {
        return Err(Problem::bad_command(format!("`keys` names {named} keys; allowed are 1 to {KEYS_MAX}")));
    }
    if fold_again.len() > RECEIVERS_MAX {
        let named = fold_again.len();
        return Err(Problem::bad_command(format!(
            "`fold_again` names {named} receivers; at most {RECEIVERS_MAX} may be"
        )));
    }
    let fold_again = fold_again.iter().map(|handler| handler.parse()).collect::<Result<_, _>>()?;
    let choices = Choices { keys, fire_past, allow_calls, fold_again };
    let item = app.engine.approve(id, Digest::whole(&plan)?, choices, audit).await?;
    Ok(axum::Json(ReplayItem::of(item)))
}

/// Apply an approved plan: append the repair of each key. Answers at once; the work continues, also after a restart.
#[utoipa::path(
    post, path = "/v1/replays/{id}/apply", operation_id = "apply_replay", tag = "replays", params(("id" = inline(ReplayId), Path)),
    request_body(content = Option<AuditBody>),
    responses((status = 202, description = "Begun", body = ReplayItem), NoSuchReplay, ReplayConflict, AuditRefused),
)]
pub async fn apply(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Body(body): Body<AuditBody>,
) -> Result<(StatusCode, axum::Json<ReplayItem>), Problem> {
    let item = app.engine.apply(id, body.checked()?).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(ReplayItem::of(item))))
}

/// Cancel a replay: it is neither computed nor applied any further. Keys that were repaired stay repaired.
#[utoipa::path(
    post, path = "/v1/replays/{id}/cancel", operation_id = "cancel_replay", tag = "replays", params(("id" = inline(ReplayId), Path)),
    request_body(content = Option<AuditBody>),
    responses((status = 200, description = "Durable", body = ReplayItem), NoSuchReplay, ReplayConflict, AuditRefused),
)]
pub async fn cancel(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Body(body): Body<AuditBody>,
) -> Result<axum::Json<ReplayItem>, Problem> {
    let item = app.engine.cancel_replay(id, body.checked()?).await?;
    Ok(axum::Json(ReplayItem::cancelled(item)))
}

/// Ask what would be without the repairs of a replay. The plan of the undo takes them back; it is approved and applied like any other.
/// The same again changes nothing, until there are other repairs.
#[utoipa::path(
    post, path = "/v1/replays/{id}/undo", operation_id = "undo_replay", tag = "replays", params(("id" = inline(ReplayId), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 202, description = "Durable; read its progress at `Location`", body = ReplayItem, headers(("location" = String))),
        NoSuchReplay, ReplayConflict, AuditRefused,
    ),
)]
pub async fn undo(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Body(body): Body<AuditBody>,
) -> Result<Begun, Problem> {
    if id.is_undo {
        let detail = format!("{id} is an undo, which has none itself: ask again what would be");
        return Err(Problem::new(StatusCode::CONFLICT, "nothing-to-undo", detail));
    }
    begun(ReplayItem::of(app.engine.undo(id.replay, body.checked()?).await?))
}
