//! `/v1/handlers`: deploying, looking at, pausing and resuming handlers.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weirgate_engine::HandlerItem as Item;
use weirgate_types::{Digest, HandlerName, Manifest};

use super::query::{Json, Path};
use crate::{Problem, serve::App};

#[derive(Serialize, ToSchema)]
pub struct HandlerList {
    handlers: Vec<HandlerItem>,
}

/// A handler and how it stands.
#[derive(Serialize, ToSchema)]
pub struct HandlerItem {
    name: String,
    /// `running`, `paused`, or `waiting-for-module`.
    state: &'static str,
    digest: String,
    #[schema(value_type = Object)]
    manifest: Manifest,
    deployed_at_ms: u64,
    /// Everything up to this position is done with.
    checkpoint: u64,
    /// How many positions lie between the checkpoint and the log's head.
    lag: u64,
    /// Deliveries that have begun or wait in a lane.
    open: usize,
    running: usize,
    retrying: usize,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// What `PUT /v1/modules` answered.
    #[schema(value_type = String)]
    digest: Digest,
    #[schema(value_type = Object)]
    manifest: Manifest,
}

/// All handlers.
#[utoipa::path(
    get, path = "/v1/handlers", operation_id = "list_handlers", tag = "handlers",
    responses((status = 200, description = "In order of name", body = HandlerList)),
)]
pub async fn list(State(app): State<App>) -> Result<axum::Json<HandlerList>, Problem> {
    let handlers = app.engine.handlers().await?.into_iter().map(HandlerItem::from).collect();
    Ok(axum::Json(HandlerList { handlers }))
}

/// One handler.
#[utoipa::path(
    get, path = "/v1/handlers/{name}", operation_id = "read_handler", tag = "handlers", params(("name" = String, Path)),
    responses(
        (status = 200, description = "The handler", body = HandlerItem),
        (status = 404, description = "No such handler", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read(State(app): State<App>, Path(name): Path<String>) -> Result<axum::Json<HandlerItem>, Problem> {
    Ok(axum::Json(app.engine.handler(handler_name(&name)?).await?.into()))
}

/// Deploy a handler: make it, or give it another version or other settings. Takes effect at a position of the log.
#[utoipa::path(
    put, path = "/v1/handlers/{name}", operation_id = "deploy_handler", tag = "handlers", params(("name" = String, Path)), request_body = Deployment,
    responses(
        (status = 200, description = "Durable; the handler as it is now", body = HandlerItem),
        (status = 404, description = "No such module", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The manifest is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(deployment): Json<Deployment>,
) -> Result<axum::Json<HandlerItem>, Problem> {
    let Deployment { digest, manifest } = deployment;
    if handler_name(&name)? != manifest.name {
        let detail = format!("the manifest is {}'s, the path says {name}", manifest.name);
        return Err(Problem::bad_request("name-mismatch", detail));
    }
    Ok(axum::Json(app.engine.deploy(manifest, digest, app.clock.now_ms()).await?.into()))
}

/// Hold new attempts back. What runs ends; what arrives waits, in order.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/pause", operation_id = "pause_handler", tag = "handlers", params(("name" = String, Path)),
    responses((status = 200, description = "Durable; the handler as it is now", body = HandlerItem)),
)]
pub async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<axum::Json<HandlerItem>, Problem> {
    Ok(axum::Json(app.engine.pause(handler_name(&name)?, true).await?.into()))
}

/// Go on.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/resume", operation_id = "resume_handler", tag = "handlers", params(("name" = String, Path)),
    responses((status = 200, description = "Durable; the handler as it is now", body = HandlerItem)),
)]
pub async fn resume(State(app): State<App>, Path(name): Path<String>) -> Result<axum::Json<HandlerItem>, Problem> {
    Ok(axum::Json(app.engine.pause(handler_name(&name)?, false).await?.into()))
}

fn handler_name(name: &str) -> Result<HandlerName, Problem> {
    Ok(name.parse()?)
}

impl From<Item> for HandlerItem {
    fn from(item: Item) -> Self {
        let state = match (item.paused, item.ready) {
            (true, _) => "paused",
            (false, true) => "running",
            (false, false) => "waiting-for-module",
        };
        Self {
            name: item.name.to_string(),
            state,
            digest: item.digest.to_string(),
            manifest: item.manifest,
            deployed_at_ms: item.deployed_at_ms,
            checkpoint: item.checkpoint.0,
            lag: item.lag,
            open: item.open,
            running: item.running,
            retrying: item.retrying,
        }
    }
}
