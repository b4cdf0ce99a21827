//! `/v1/replays`: what a candidate would have done with recorded deliveries, and the repair of the keys that differ.

mod approval;
mod decide;
mod differences;
mod item;
mod key;
mod parts;
mod plan;
mod request;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use weirgate_engine::PlanId;
use weirgate_types::Position;

use super::{
    answers::answer,
    lists::{self, ListSlot},
    problems::{
        NoSuchReplay, NoSuchReplayCandidate, ReplayConflict, ReplayRefused, TooManyLists, TooManyReads,
        VerificationRefused,
    },
    query::{Json, Named, Query, limit},
};
use crate::{Problem, app::App};
pub use item::ReplayItem;
use request::ReplayBody;

/// The form of a replay's id, for the OpenAPI document.
pub struct ReplayId;

impl PartialSchema for ReplayId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9]{1,19}(-undo)?$"))
            .description(Some("The position of a replay's record, with `-undo` for its undo"))
            .into()
    }
}

impl ToSchema for ReplayId {}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReplaysQuery {
    /// Only replays before this one: the `next` of the previous page.
    #[param(value_type = Option<Position>, inline)]
    after: Option<u64>,
    /// Maximum number of replays (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct ReplayList {
    /// The newest first.
    replays: Vec<ReplayItem>,
    /// The value of `after` for the next page; absent at the end. A page ends early when it is large.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The answer of a request that begins something.
pub type Begun = (StatusCode, HeaderMap, axum::Json<ReplayItem>);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask, list))
        .routes(routes!(read))
        .routes(routes!(differences::list))
        .routes(routes!(key::read))
        .routes(routes!(plan::read))
        .routes(routes!(decide::approve))
        .routes(routes!(decide::apply))
        .routes(routes!(decide::cancel))
        .routes(routes!(decide::undo))
}

/// Ask what a candidate would have done with a handler's recorded deliveries. Nothing is changed, and no host is called
/// but with `missing_answers` of `call`, for calls that only read. Answers at once;
/// the replay is computed in the background.
#[utoipa::path(
    post, path = "/v1/replays", operation_id = "ask_replay", tag = "replays", request_body = ReplayBody,
    responses(
        (status = 202, description = "Durable; read its progress at `Location`", body = ReplayItem, headers(("location" = String))),
        NoSuchReplayCandidate, ReplayConflict, ReplayRefused, VerificationRefused,
    ),
)]
pub async fn ask(State(app): State<App>, Json(body): Json<ReplayBody>) -> Result<Begun, Problem> {
    let (asked, audit) = body.checked(&app.engine).await?;
    begun(ReplayItem::of(app.engine.ask_what_if(asked, audit).await?))
}

/// List replays.
#[utoipa::path(
    get, path = "/v1/replays", operation_id = "list_replays", tag = "replays", params(ReplaysQuery),
    responses((status = 200, description = "The replays", body = ReplayList), TooManyLists),
)]
pub async fn list(State(app): State<App>, Query(query): Query<ReplaysQuery>) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let slot = ListSlot::take(&app).await?;
    let page = app.engine.what_ifs(query.after.map(Position), limit).await?;
    slot.make(move || {
        let (replays, is_cut) = lists::page(page.what_ifs.iter().cloned().map(|item| Ok(ReplayItem::of(item))))?;
        let last = replays.len().checked_sub(1).and_then(|last| page.what_ifs.get(last));
        let next = if is_cut { last.map(|last| last.id.replay) } else { page.next };
        Ok(ReplayList { replays, next: next.map(|next| next.0) })
    })
    .await
}

/// Read what was asked, how far a replay is, what was found, and what came of its plan. A replay that is not known since the start of
/// the server is computed again, unless it has ended: then when its differences or its plan are read.
#[utoipa::path(
    get, path = "/v1/replays/{id}", operation_id = "read_replay", tag = "replays", params(("id" = inline(ReplayId), Path)),
    responses((status = 200, description = "The replay", body = ReplayItem), NoSuchReplay, ReplayConflict, TooManyReads),
)]
pub async fn read(State(app): State<App>, Named(id): Named<PlanId>) -> Result<Response, Problem> {
    answer(&app, &ReplayItem::of(app.engine.what_if(id).await?))
}

/// The answer to a request that began a replay.
pub fn begun(item: ReplayItem) -> Result<Begun, Problem> {
    let location = HeaderValue::from_str(&format!("/v1/replays/{}", item.id()));
    let location = location.map_err(|error| Problem::internal("internal", &error))?;
    Ok((StatusCode::ACCEPTED, HeaderMap::from_iter([(header::LOCATION, location)]), axum::Json(item)))
}
