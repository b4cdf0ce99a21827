//! The router and the server around it.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Redirect, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tower_http::{catch_panic::CatchPanicLayer, services::ServeDir, set_header::SetResponseHeader};
use weirgate_engine::{Clock, Handle};
use weirgate_types::EventLimits;

use crate::{
    Problem,
    connections::{self, ConnectionLimits},
    live::{Admission, check_origin},
    parsing::Parsers,
    routes,
    tasks::Tasks,
};

const DISCARDS_MAX: usize = 32;
const LISTS_MAX: usize = 8;

/// The settings of the endpoints.
#[derive(Debug, Clone)]
pub struct Options {
    pub event_limits: EventLimits,
    /// The largest body of `POST /v1/events`.
    pub request_bytes_max: usize,
    /// The largest body of `PUT /v1/modules`.
    pub module_bytes_max: usize,
    /// Connections of all kinds at once; beyond it: 503.
    pub connections_max: usize,
    /// Live connections at once; at most three quarters of all.
    pub live_connections_max: usize,
    /// How long a request's head may take to come, and how long a connection may be idle before it.
    pub header_timeout: Duration,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// How long nothing of a body may come.
    pub body_idle_timeout: Duration,
    /// How long an uploaded module may take to come.
    pub upload_timeout: Duration,
    /// How often modules that no handler was deployed with are looked for.
    pub collect_interval: Duration,
    pub heartbeat: Duration,
    /// Origins whose pages may use the live endpoint, besides the server's own.
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
            connections_max: 12_000,
            live_connections_max: 10_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(10),
            upload_timeout: Duration::from_secs(120),
            collect_interval: Duration::from_secs(600),
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
    pub admission: Arc<Admission>,
    pub tasks: Arc<Tasks>,
    pub parsers: Parsers,
    /// How many bodies that were refused are read to their end at once.
    pub discards: Arc<Semaphore>,
    /// How many lists of events are answered at once.
    pub lists: Arc<Semaphore>,
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
pub async fn serve(
    listener: TcpListener,
    engine: Handle,
    clock: Arc<dyn Clock>,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, stopped) = watch::channel(false);
    let limits = ConnectionLimits { connections_max: options.connections_max, header_timeout: options.header_timeout };
    let live_max = options.live_connections_max.min(limits.connections_max / 4 * 3).max(1);
    let app = App {
        engine: engine.clone(),
        options: Arc::new(options),
        clock,
        admission: Arc::new(Admission::new(live_max)),
        tasks: Arc::default(),
        parsers: Parsers::default(),
        discards: Arc::new(Semaphore::new(DISCARDS_MAX)),
        lists: Arc::new(Semaphore::new(LISTS_MAX)),
        stopping: stopped.clone(),
    };
    app.tasks.start(collect_modules(app.engine.clone(), app.options.collect_interval));
    let shutdown = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let serving = connections::serve(listener, router(app), engine, limits, stopped);
    tokio::join!(serving, shutdown);
}

/// Delete modules that nobody uses, at the start and every so often.
async fn collect_modules(engine: Handle, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        if let Err(error) = engine.collect_modules().await {
            tracing::warn!(%error, "modules that no handler uses cannot be collected");
        }
    }
}

fn router(app: App) -> Router {
    let (api, document) = routes::api();
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
                "this endpoint has no such method; see /openapi.json",
            )
        })
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
