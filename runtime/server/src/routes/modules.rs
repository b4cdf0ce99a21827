//! `PUT /v1/modules`: a component's bytes, checked and kept.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Problem, serve::App};

/// A component that can be deployed.
#[derive(Serialize, ToSchema)]
pub struct ModuleItem {
    /// `sha256:` and 64 hexadecimal digits: what a handler's deployment names.
    digest: String,
    bytes: u64,
    /// The interfaces it imports.
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Upload a component. It is compiled and tried at once; the same bytes again are fine.
#[utoipa::path(
    put, path = "/v1/modules", operation_id = "upload_module", tag = "handlers",
    request_body(content_type = "application/wasm", description = "The component's bytes"),
    responses(
        (status = 200, description = "Kept", body = ModuleItem),
        (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a component that can be run here; `code` and `detail` say why", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn put(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Result<axum::Json<ModuleItem>, Problem> {
    let body = body.map_err(|rejection| {
        let detail = format!("the module could not be read; at most {} bytes are taken", app.options.module_bytes_max);
        let code =
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { "module-too-large" } else { "unreadable-body" };
        Problem::new(rejection.status(), code, detail)
    })?;
    let info = app.engine.put_module(body.to_vec()).await?;
    let (imports, exports) = (info.imports, info.exports);
    Ok(axum::Json(ModuleItem { digest: info.digest.to_string(), bytes: info.bytes, imports, exports }))
}
