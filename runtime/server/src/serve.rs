//! The router and the server around it.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::FutureExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tower_http::{services::fs::ServeFileSystemResponseBody, set_header::SetResponseHeader};
use utoipa::openapi::OpenApi as Document;
use weirgate_engine::{Clock, Handle};

use crate::{
    Options, Problem, access,
    admission::Admission,
    app::{App, Shared},
    connections::{self, Answering, ConnectionLimits},
    pages,
    parameters::Parameters,
    parsing::Parsers,
    refusals::{as_problem, internal, refusal},
    routes,
    unread::discard_the_rest,
};

const DISCARDS_MAX: usize = 32;
const LISTS_MAX: usize = 8;
const SCRAPES_MAX: usize = 4;

/// Serves until `stop` resolves; then refuses new connections, ends the live ones, and answers the requests in progress.
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
    let app = App::new(Shared {
        engine: engine.clone(),
        options: Arc::new(options),
        clock,
        admission: Arc::new(Admission::new(live_max)),
        tasks: Arc::default(),
        sessions: Arc::default(),
        parsers: Parsers::default(),
        discards: Arc::new(Semaphore::new(DISCARDS_MAX)),
        lists: Arc::new(Semaphore::new(LISTS_MAX)),
        scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)),
        stopping: stopped.clone(),
    });
    app.tasks.start(collect_modules(app.engine.clone(), app.options.collect_interval));
    let hub = Arc::clone(app.engine.hub());
    app.tasks.start(async move { hub.wake_watchers().await });
    let shutdown = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let sessions = Arc::clone(&app.sessions);
    let serving = async {
        connections::serve(listener, answering(app), engine, limits, stopped).await;
        // Each ends with a close frame that its client answers.
        sessions.ended().await;
    };
    tokio::join!(serving, shutdown);
}

/// Deletes unused modules, at the start and at intervals.
async fn collect_modules(engine: Handle, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        if let Err(error) = engine.collect_modules().await {
            tracing::warn!(%error, "unused modules cannot be deleted");
        }
    }
}

/// What is around everything that answers, the choice of the route included. No layer of a router: each costs a request several
/// allocations, and the router itself some twenty, so requests that publish events go past it.
fn answering(app: App) -> Answering {
    let (api, document) = routes::api(app.options.shop.is_some());
    let parameters = Arc::new(Parameters::new(&document));
    let router = TowerToHyperService::new(router(app.clone(), api, &document, Arc::clone(&parameters)));
    Arc::new(move |request, peer| {
        let (app, router, parameters) = (app.clone(), router.clone(), Arc::clone(&parameters));
        let to = app.clone();
        let answer = async move |request: Request| match routes::is_publishing(&request) {
            true => publishing(to, &parameters, request).await,
            false => router.call(request).await.unwrap_or_else(|never| match never {}),
        };
        async move { access::admit(&app, peer, discard_the_rest(&app, request), answer).await }.boxed()
    })
}

/// What the router does with such a request, `around_route` included.
async fn publishing(app: App, parameters: &Parameters, request: Request) -> Response {
    match refusal(parameters.of(routes::PUBLISH, request.method()), &request) {
        Some(refusal) => refusal,
        None => guarded(routes::publish(State(app), request)).await,
    }
}

fn router(app: App, api: Router<App>, document: &Document, parameters: Arc<Parameters>) -> Router {
    let encoded = Extension(routes::document::Encoded::of(document));
    let mut router = api.route("/openapi.json", get(routes::document::read).layer(encoded));
    if app.options.shop.is_none() {
        router = router.route("/", get(routes::root::read));
    }
    if let Some(shop) = &app.options.shop {
        // A path without a file is answered 404 with the shop's page, which shows the way.
        let root = shop.clone();
        let page: Router = Router::new().fallback(move || pages::page(root.clone()));
        let files = pages::serve(shop, "").not_found_service(page);
        router = router
            .nest_service("/shop/assets/", cached(pages::serve(shop, "assets"), "public, max-age=31536000, immutable"))
            .nest_service("/shop/", cached(files, "no-cache"))
            .route("/shop", get(routes::shop::folder))
            .route("/", get(routes::shop::root));
    }
    router
        .fallback(
            |uri: axum::http::Uri| async move { Problem::not_found(format!("there is nothing at {}", uri.path())) },
        )
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "this endpoint does not have this method; see /openapi.json",
            )
        })
        .layer(middleware::from_fn_with_state(parameters, around_route))
        .with_state(app)
}

/// Around each route, the choice of the method included.
async fn around_route(State(parameters): State<Arc<Parameters>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let known = path.and_then(|path| parameters.of(path.as_str(), request.method()));
    match refusal(known, &request) {
        Some(refusal) => refusal,
        None => guarded(next.run(request)).await,
    }
}

/// After a panic nothing of the request is used.
async fn guarded(answer: impl Future<Output = Response>) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    answer.map_or_else(|_| internal().into_response(), as_problem)
}

type File = axum::http::Response<ServeFileSystemResponseBody>;

/// The assets' names change with their content; the page that names them is revalidated each time. A missing file is not
/// cached: it may be there later.
fn cached<S>(files: S, policy: &'static str) -> SetResponseHeader<S, impl FnMut(&File) -> Option<HeaderValue> + Clone> {
    SetResponseHeader::overriding(files, header::CACHE_CONTROL, move |file: &File| {
        let is_there = file.status().is_success() || file.status() == StatusCode::NOT_MODIFIED;
        Some(HeaderValue::from_static(if is_there { policy } else { "no-store" }))
    })
}
