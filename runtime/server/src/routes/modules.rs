//! `PUT /v1/modules`: uploads a component, which is checked and stored.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use serde::Serialize;
use utoipa::ToSchema;
use weirgate_engine::Upload;
use weirgate_types::{Digest, MediaType};

use super::document::Bytes;
use super::problems::{ModuleRefused, NoRoomForModules, TooManyUploads};
use crate::{
    Problem,
    app::App,
    content::{BadHeader, content_type},
    payload::{Reading, announced},
};

/// A component that can be deployed.
#[derive(Serialize, ToSchema)]
pub struct ModuleItem {
    /// `sha256:` and 64 hexadecimal digits, for the deployment of a handler.
    #[schema(value_type = Digest)]
    digest: String,
    bytes: u64,
    /// The interfaces it imports.
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Upload a component. It is compiled and checked at once; uploading the same bytes again has no effect.
#[utoipa::path(
    put, path = "/v1/modules", operation_id = "upload_module", tag = "handlers",
    request_body(
        content((inline(Bytes) = "application/wasm"), (inline(Bytes) = "application/octet-stream")),
        description = "The component's bytes",
    ),
    responses(
        (status = 200, description = "Kept", body = ModuleItem),
        ModuleRefused, TooManyUploads, NoRoomForModules,
    ),
)]
pub async fn put(State(app): State<App>, request: Request) -> Result<axum::Json<ModuleItem>, Problem> {
    check_type(request.headers())?;
    let bytes_max = app.options.module_bytes_max;
    let announced = announced(request.headers());
    let mut reading = Reading::new(&app, request, bytes_max, app.options.upload_timeout);
    let upload = receive(&app, &mut reading, announced).await?;
    let info = app.engine.put_upload(upload).await?;
    let (imports, exports) = (info.imports, info.exports);
    Ok(axum::Json(ModuleItem { digest: info.digest.to_string(), bytes: info.bytes, imports, exports }))
}

/// A component's bytes are sent as what they are, as bytes, or without a type.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let bad = |error: BadHeader| Problem::bad_request("bad-request", error.to_string());
    let Some(text) = content_type(headers).map_err(bad)? else { return Ok(()) };
    let media_type = MediaType::parse(text);
    if media_type.is_some_and(|one| ["application/wasm", "application/octet-stream"].contains(&one.essence())) {
        return Ok(());
    }
    let detail = format!("the content type {text:?} is not that of a component; send application/wasm");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-content-type", detail))
}

/// Writes the module's bytes to a file, once there is a permit in the queue and space on the disk for them.
async fn receive(app: &App, reading: &mut Reading, announced: Option<usize>) -> Result<Upload, Problem> {
    let bytes_max = app.options.module_bytes_max;
    let too_large = || {
        let detail = format!("the module is too large; the maximum is {bytes_max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "module-too-large", detail)
    };
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let bytes = u64::try_from(announced.unwrap_or(bytes_max)).unwrap_or(u64::MAX);
    let mut upload = app.engine.begin_upload(bytes).await?;
    loop {
        match reading.next(app).await {
            Ok(Some(chunk)) => upload = upload.write(chunk).await?,
            Ok(None) => return Ok(upload),
            Err(problem) if problem.code == "request-too-large" => return Err(too_large()),
            Err(problem) => return Err(problem),
        }
    }
}
