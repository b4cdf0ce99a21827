//! The table of routes, and the OpenAPI document that is made from it.

mod answers;
mod attempts;
mod audit;
mod binary_mode;
mod blocked;
mod breakers;
mod bulk_jobs;
mod checks;
mod corrected;
mod dead_letter_filter;
mod dead_letters;
mod decisions;
mod deliveries;
mod deployments;
pub mod document;
mod events;
mod failures;
mod handlers;
mod health;
mod lists;
mod modes;
mod modules;
mod preconditions;
mod problem_pages;
pub mod problems;
mod query;
mod removal;
mod replays;
pub mod root;
pub mod shop;
mod shown;
mod status;
mod subject_status;
mod suspected;
mod timeline;
mod times;
mod versions;

use axum::{Router, extract::Request, http::Method};
use utoipa::{OpenApi, openapi::OpenApi as Document};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{Problem, app::App, live};
pub use deployments::Growth;
pub use events::{PUBLISH, publish};
pub use replays::ReplayItem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weirgate",
        description = "Event handlers as WebAssembly components: exactly-once state, order per key, live status.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "events", description = "Accepting and reading events (CloudEvents 1.0)"),
        (name = "status", description = "The status of subjects, pushed live"),
        (name = "handlers", description = "Uploading, deploying, pausing, draining, rolling back and removing handlers"),
        (name = "deliveries", description = "Open deliveries, dead letters, and commands for them"),
        (name = "replays", description = "What a candidate would have done with recorded deliveries, and the repair of keys"),
        (name = "breakers", description = "Circuit breakers of handlers and of the hosts that they call"),
        (name = "system", description = "Health and metrics"),
    ),
    components(schemas(Problem)),
)]
struct Api;

/// Whether a request is one for [`publish`].
pub fn is_publishing(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path() == PUBLISH
}

/// All routes under `/v1`, and the description of all routes, of those for pages too.
pub fn api(has_shop: bool) -> (Router<App>, Document) {
    let (router, mut document) = OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(events::publish, events::list))
        .routes(routes!(events::read))
        .routes(routes!(timeline::read))
        .routes(routes!(timeline::read_of_key))
        .routes(routes!(status::read))
        .routes(routes!(subject_status::read))
        .routes(routes!(live::connect))
        .routes(routes!(modules::put))
        .routes(routes!(handlers::list))
        .routes(routes!(handlers::read, deployments::put, removal::remove))
        .routes(routes!(versions::list))
        .routes(routes!(versions::roll_back))
        .routes(routes!(checks::verify))
        .routes(routes!(modes::pause))
        .routes(routes!(modes::drain))
        .routes(routes!(modes::resume))
        .routes(routes!(events::post))
        .merge(deliveries())
        .merge(dead_letters())
        .merge(replays::routes())
        .routes(routes!(breakers::list))
        .routes(routes!(breakers::trip))
        .routes(routes!(breakers::reset))
        .routes(routes!(health::metrics))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(problem_pages::list))
        .routes(routes!(problem_pages::read))
        .split_for_parts();
    describe_others(&mut document, has_shop);
    document::complete(&mut document);
    (router, document)
}

/// The document, `GET /` and the shop are described here and routed by `serve`: they depend on the document and the options.
fn describe_others(document: &mut Document, has_shop: bool) {
    let others = OpenApiRouter::<App>::new().routes(routes!(document::read));
    let others = match has_shop {
        true => others.routes(routes!(shop::root)).routes(routes!(shop::folder)),
        false => others.routes(routes!(root::read)),
    };
    document.merge(others.split_for_parts().1);
    if has_shop {
        shop::describe_files(document);
    }
}

fn deliveries() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::read))
        .routes(routes!(decisions::retry))
        .routes(routes!(decisions::correct))
        .routes(routes!(decisions::skip))
        .routes(routes!(decisions::resolve))
        .routes(routes!(decisions::dead_letter))
        .routes(routes!(decisions::discard))
        .routes(routes!(blocked::list))
        .routes(routes!(attempts::list))
}

fn dead_letters() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(dead_letters::list))
        .routes(routes!(bulk_jobs::begin))
        .routes(routes!(dead_letters::read))
        .routes(routes!(dead_letters::resubmit))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(bulk_jobs::list))
        .routes(routes!(bulk_jobs::read))
        .routes(routes!(bulk_jobs::cancel))
}

/// The OpenAPI 3.1 document of the endpoints, without a shop.
#[must_use]
pub fn openapi() -> Document {
    api(false).1
}
