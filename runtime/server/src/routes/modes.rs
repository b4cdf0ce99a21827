//! `POST /v1/handlers/{name}/pause`, `drain`, `resume`: a handler's mode.

use axum::extract::State;
use weirgate_types::{HandlerName, Mode};

use super::{
    audit::AuditBody,
    handlers::HandlerItem,
    problems::{AuditRefused, NoSuchHandler},
    query::{Body, ForHandler},
};
use crate::{Problem, app::App};

type Answer = Result<axum::Json<HandlerItem>, Problem>;

/// Pause a handler: no attempt begins. Running calls end; new deliveries wait, in order.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/pause", operation_id = "pause_handler", tag = "handlers", params(("name" = inline(HandlerName), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 200, description = "Durable; the handler's present state", body = HandlerItem),
        NoSuchHandler, AuditRefused,
    ),
)]
pub async fn pause(State(app): State<App>, ForHandler(name): ForHandler, Body(audit): Body<AuditBody>) -> Answer {
    change(&app, name, Mode::Paused, audit).await
}

/// Drain a handler: take no new events and finish open deliveries, retries included. Then the state is `drained`.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/drain", operation_id = "drain_handler", tag = "handlers", params(("name" = inline(HandlerName), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 200, description = "Durable; the handler's present state", body = HandlerItem),
        NoSuchHandler, AuditRefused,
    ),
)]
pub async fn drain(State(app): State<App>, ForHandler(name): ForHandler, Body(audit): Body<AuditBody>) -> Answer {
    change(&app, name, Mode::Draining, audit).await
}

/// Resume a paused or drained handler.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/resume", operation_id = "resume_handler", tag = "handlers", params(("name" = inline(HandlerName), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 200, description = "Durable; the handler's present state", body = HandlerItem),
        NoSuchHandler, AuditRefused,
    ),
)]
pub async fn resume(State(app): State<App>, ForHandler(name): ForHandler, Body(audit): Body<AuditBody>) -> Answer {
    change(&app, name, Mode::Running, audit).await
}

async fn change(app: &App, name: HandlerName, mode: Mode, audit: AuditBody) -> Answer {
    let item = app.engine.change_mode(name, mode, audit.checked()?).await?;
    Ok(axum::Json(HandlerItem::described(app, item).await?))
}
