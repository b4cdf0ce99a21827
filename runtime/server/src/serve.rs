//! The router and the server around it.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Redirect, Response},
    routing::get,
    serve::ListenerExt,
};
use tokio::{net::TcpListener, sync::watch};
use tower_http::{catch_panic::CatchPanicLayer, services::ServeDir, set_header::SetResponseHeader};
use weirgate_engine::{Clock, Handle};
use weirgate_types::EventLimits;

use crate::{
    Problem,
    live::{Gate, check_origin},
    routes,
    tasks::Tasks,
};

/// How the doors are set.
#[derive(Debug, Clone)]
pub struct Options {
    pub event_limits: EventLimits,
    /// The largest body of `POST /v1/events`.
    pub request_bytes_max: usize,
    /// The largest body of `PUT /v1/modules`.
    pub module_bytes_max: usize,
    pub live_connections_max: usize,
    pub heartbeat: Duration,
    /// Origins whose pages may use the live door, besides the server's own.
    pub origins: Vec<String>,
    /// The built demo shop, served under `/shop/`.
    pub shop: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            event_limits: EventLimits::default(),
            request_bytes_max: 4 << 20,
            module_bytes_max: 32 << 20,
            live_connections_max: 10_000,
            heartbeat: Duration::from_secs(25),
            origins: Vec::new(),
            shop: None,
        }
    }
}

/// What every route can reach.
#[derive(Clone)]
pub struct App {
    pub engine: Handle,
    pub options: Arc<Options>,
    pub clock: Arc<dyn Clock>,
    pub gate: Arc<Gate>,
    pub tasks: Arc<Tasks>,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// Done when the server stops.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error says that the sender is gone, which is the end as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

/// Serve until `stop` is done; then refuse new connections, end the live ones, and answer what is under way.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    engine: Handle,
    clock: Arc<dyn Clock>,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, stopped) = watch::channel(false);
    let gate = Arc::new(Gate::new(options.live_connections_max));
    let app = App { engine, options: Arc::new(options), clock, gate, tasks: Arc::default(), stopping: stopped };
    let shutdown = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays slow");
        }
    });
    axum::serve(listener, router(app)).with_graceful_shutdown(shutdown).await
}

fn router(app: App) -> Router {
    let (api, document) = routes::api(&app.options);
    let document = Arc::new(document);
    let mut router = api.route("/openapi.json", get(move || async move { axum::Json((*document).clone()) }));
    if let Some(shop) = &app.options.shop {
        router = router
            .nest_service(
                "/shop/assets/",
                cached(ServeDir::new(shop.join("assets")), "public, max-age=31536000, immutable"),
            )
            .nest_service("/shop/", cached(ServeDir::new(shop), "no-cache"))
            .route("/shop", get(|| async { Redirect::permanent("/shop/") }))
            .route("/", get(|| async { Redirect::temporary("/shop/") }));
    }
    router
        .fallback(
            |uri: axum::http::Uri| async move { Problem::not_found(format!("there is nothing at {}", uri.path())) },
        )
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "this door has no such method; see /openapi.json",
            )
        })
        .layer(DefaultBodyLimit::max(app.options.request_bytes_max))
        .layer(middleware::from_fn_with_state(app.clone(), same_origin))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse as _;
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log says why")
                .into_response()
        }))
        .with_state(app)
}

/// What changes something is not to be asked for by another site's page, with its visitor's network.
async fn same_origin(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    if !request.method().is_safe() {
        check_origin(request.headers(), &app.options.origins)?;
    }
    Ok(next.run(request).await)
}

/// The assets' names change with their content; the page that names them is asked for each time.
fn cached(files: ServeDir, policy: &'static str) -> SetResponseHeader<ServeDir, HeaderValue> {
    SetResponseHeader::overriding(files, header::CACHE_CONTROL, HeaderValue::from_static(policy))
}
