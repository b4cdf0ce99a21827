//! `POST /v1/handlers/{name}/pause`, `drain`, `resume`: whether a handler works.

use axum::extract::State;
use weirgate_types::Mode;

use super::{
    audit::AuditBody,
    handlers::HandlerItem,
    problems::{AuditRefused, NoSuchHandler},
    query::{Body, Path},
};
use crate::{Problem, app::App};

type Answer = Result<axum::Json<HandlerItem>, Problem>;

/// Hold new attempts back. What runs ends; what arrives waits, in order.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/pause", operation_id = "pause_handler", tag = "handlers", params(("name" = String, Path)),
    request_body(content = AuditBody, description = "May be left out"),
    responses(
        (status = 200, description = "Durable; the handler as it is now", body = HandlerItem),
        NoSuchHandler, AuditRefused,
    ),
)]
pub async fn pause(State(app): State<App>, Path(name): Path<String>, Body(audit): Body<AuditBody>) -> Answer {
    change(&app, &name, Mode::Paused, audit).await
}

/// Take nothing new from the log, and finish what is open: retries go on until they end. The state is `drained` then.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/drain", operation_id = "drain_handler", tag = "handlers", params(("name" = String, Path)),
    request_body(content = AuditBody, description = "May be left out"),
    responses(
        (status = 200, description = "Durable; the handler as it is now", body = HandlerItem),
        NoSuchHandler, AuditRefused,
    ),
)]
pub async fn drain(State(app): State<App>, Path(name): Path<String>, Body(audit): Body<AuditBody>) -> Answer {
    change(&app, &name, Mode::Draining, audit).await
}

/// Go on, after a pause or a drain.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/resume", operation_id = "resume_handler", tag = "handlers", params(("name" = String, Path)),
    request_body(content = AuditBody, description = "May be left out"),
    responses(
        (status = 200, description = "Durable; the handler as it is now", body = HandlerItem),
        NoSuchHandler, AuditRefused,
    ),
)]
pub async fn resume(State(app): State<App>, Path(name): Path<String>, Body(audit): Body<AuditBody>) -> Answer {
    change(&app, &name, Mode::Running, audit).await
}

async fn change(app: &App, name: &str, mode: Mode, audit: AuditBody) -> Answer {
    let item = app.engine.change_mode(name.parse()?, mode, audit.checked()?).await?;
    Ok(axum::Json(HandlerItem::of(item, app.clock.now_ms())))
}
