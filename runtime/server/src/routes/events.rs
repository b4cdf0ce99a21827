//! `/v1/events`: ingest, and reading events from the log.

use std::ops::ControlFlow;

use axum::{
    extract::{FromRequest, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{Ingested, RefusedLabels, StoredEvent};
use weirgate_types::{DeliveryId, Event, HandlerName, Position, RawEvent};

use super::{
    answers::{JSON, answer, encoded},
    binary_mode::BinaryMode,
    document::Bytes,
    lists::{ListSlot, PAGE_BYTES_MAX},
    problems::{EventRefused, HistoryNotReady, NoSuchEvent, NoSuchHandler, NotACloudEvent, TooMuchInFlight},
    query::{ForHandler, Path, Query, limit},
    subject_status,
    times::rfc3339,
};
use crate::{Problem, app::App, content::Mode, payload::Payload};

/// The path of [`publish`].
pub const PUBLISH: &str = "/v1/events";
/// Maximum number of positions that one request scans for matching events.
const LOOK_POSITIONS_MAX: u64 = 200_000;

/// The accepted events of a request, in their order.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// The epoch of the positions.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    epoch: String,
    events: Vec<AcceptedEvent>,
}

#[derive(Serialize, ToSchema)]
pub struct AcceptedEvent {
    id: String,
    source: String,
    /// The event's key.
    key: String,
    /// The event's position in the log; for a duplicate, that of the first copy.
    position: u64,
    /// Whether an event with this `source` and `id` was accepted before; the repeat changes nothing.
    duplicate: bool,
    /// The URL of the key's status, for any key.
    status_url: String,
}

/// Accept one event or a batch. Answers once they are durable.
///
/// Safe to repeat: events that were accepted before are answered as duplicates.
#[utoipa::path(
    post, path = "/v1/events", operation_id = "publish_events", tag = "events", params(BinaryMode),
    request_body(
        content(
            (RawEvent = "application/cloudevents+json"),
            (Vec<RawEvent> = "application/cloudevents-batch+json"),
            (inline(Bytes) = "application/octet-stream"),
        ),
        description = "A CloudEvent in structured mode, a batch of them, or (binary mode) the data, with the attributes in ce- headers",
    ),
    responses(
        (status = 202, description = "Durable", body = Accepted),
        NotACloudEvent, EventRefused, TooMuchInFlight, HistoryNotReady,
    ),
)]
pub async fn publish(State(app): State<App>, request: Request) -> Response {
    counted(&app, accept(&app, request, None).await)
}

/// Accept one event or a batch for one handler only, independent of its subscriptions. Answers once they are durable.
///
/// An event that was accepted before, for any handler, is answered as a duplicate and changes nothing.
#[utoipa::path(
    post, path = "/v1/handlers/{name}/events", operation_id = "post_events_to_handler", tag = "events",
    params(("name" = inline(HandlerName), Path), BinaryMode),
    request_body(
        content(
            (RawEvent = "application/cloudevents+json"),
            (Vec<RawEvent> = "application/cloudevents-batch+json"),
            (inline(Bytes) = "application/octet-stream"),
        ),
        description = "As for `POST /v1/events`",
    ),
    responses(
        (status = 202, description = "Durable", body = Accepted),
        NotACloudEvent, NoSuchHandler, EventRefused, TooMuchInFlight, HistoryNotReady,
    ),
)]
pub async fn post(State(app): State<App>, name: Result<ForHandler, Problem>, request: Request) -> Response {
    let accepted = match name {
        Ok(ForHandler(name)) => accept(&app, request, Some(name)).await,
        Err(problem) => Err(problem),
    };
    counted(&app, accepted)
}

fn counted(app: &App, accepted: Result<Accepted, Problem>) -> Response {
    match accepted.and_then(|accepted| encoded(&accepted)) {
        Ok(json) => accepted_as(json),
        Err(problem) => {
            let labels = RefusedLabels { reason: problem.code.clone() };
            app.engine.metrics().events_refused.get_or_create(&labels).inc();
            problem.into_response()
        }
    }
}

/// Made of no parts: each sets its headers in turn, by copies.
fn accepted_as(json: Vec<u8>) -> Response {
    let mut response = Response::new(json.into());
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

async fn accept(app: &App, request: Request, to: Option<HandlerName>) -> Result<Accepted, Problem> {
    // Refused here, the body is not asked for.
    let mode = Mode::of(request.headers())?;
    let Payload { bytes, held } = Payload::from_request(request, app).await?;
    let limits = app.options.event_limits;
    let parse = move || mode.events(&bytes, &limits);
    let events = app.parsers.run(held.bytes(), parse).await?;
    let ingested = app.engine.ingest(events, to, Some(held)).await?;
    let events = ingested.into_iter().map(AcceptedEvent::from).collect();
    Ok(Accepted { epoch: app.engine.epoch().to_string(), events })
}

impl From<Ingested> for AcceptedEvent {
    fn from(ingested: Ingested) -> Self {
        Self {
            status_url: subject_status::url(&ingested.key),
            id: ingested.id,
            source: ingested.source,
            key: ingested.key,
            position: ingested.position.0,
            duplicate: ingested.duplicate,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only events after this position.
    #[param(value_type = Option<Position>, inline)]
    after: Option<u64>,
    /// Maximum number of items (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only events of this key.
    key: Option<String>,
    /// Only events of this type.
    r#type: Option<String>,
    /// Only events of this source.
    source: Option<String>,
    /// Only the event with this id. With `source` it is looked up by its identity, if it was accepted within the window of
    /// identities.
    id: Option<String>,
}

impl ListQuery {
    fn takes(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.key, event.key())
            && is(&self.r#type, &event.r#type)
            && is(&self.source, &event.source)
            && is(&self.id, &event.id)
    }
}

#[derive(Serialize, ToSchema)]
pub struct EventList {
    events: Vec<EventItem>,
    /// The position up to which the log was searched: events that come later are after it.
    next_after: u64,
    /// The value of `after` for the next page; absent at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// The log's last position.
    head: u64,
}

#[derive(Serialize, ToSchema)]
pub struct EventItem {
    position: u64,
    /// When it was accepted: RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    at: String,
    at_ms: u64,
    /// The event's key.
    key: String,
    /// The `CloudEvent` in structured mode.
    event: RawEvent,
}

/// List events of the log.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "list_events", tag = "events", params(ListQuery),
    responses(
        (status = 200, description = "Events in order of position", body = EventList),
        HistoryNotReady,
    ),
)]
pub async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let slot = ListSlot::take(&app).await?;
    let limit = limit(query.limit)?;
    if let (Some(source), Some(id)) = (&query.source, &query.id) {
        return slot.answer(one(&app, &query, source, id).await?).await;
    }
    let after = Position(query.after.unwrap_or(0));
    let (sender, mut found) = tokio::sync::mpsc::unbounded_channel();
    let (mut count, mut bytes) = (0, 0);
    let look = move |stored: StoredEvent| {
        if !query.takes(&stored.event) {
            return ControlFlow::Continue(());
        }
        // The one that is too many tells that there is a next page.
        let is_full = count >= limit || bytes >= PAGE_BYTES_MAX;
        (count, bytes) = (count + 1, bytes + stored.event.data.len());
        // The receiver outlives the scan.
        let _ = sender.send((!is_full).then(|| EventItem::from(stored)));
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let head = app.engine.head().0;
    let (through, look) = app.engine.events(after, LOOK_POSITIONS_MAX, look).await?;
    drop(look);
    let (mut events, mut is_full) = (Vec::<EventItem>::new(), false);
    while let Some(item) = found.recv().await {
        is_full |= item.is_none();
        events.extend(item);
    }
    let last = events.last().map_or(after.0, |last| last.position);
    let next_after = if is_full { last } else { through.0 };
    let next = (is_full || next_after < head).then_some(next_after);
    slot.answer(EventList { events, next_after, next, head }).await
}

/// The list that a lookup by identity gives: one event, or none.
async fn one(app: &App, query: &ListQuery, source: &str, id: &str) -> Result<EventList, Problem> {
    let position = app.engine.position_of(source, id).await?;
    let stored = match position.filter(|position| position.0 > query.after.unwrap_or(0)) {
        Some(position) => app.engine.event(position).await?,
        None => None,
    };
    let head = app.engine.head().0;
    let events = stored.into_iter().filter(|stored| query.takes(&stored.event)).map(EventItem::from).collect();
    Ok(EventList { events, next_after: head, next: None, head })
}

/// Read one event.
#[utoipa::path(
    get, path = "/v1/events/{position}", operation_id = "read_event", tag = "events", params(("position" = inline(Position), Path, description = "The event's position")),
    responses(
        (status = 200, description = "The event", body = EventItem),
        NoSuchEvent,
    ),
)]
pub async fn read(State(app): State<App>, Path(position): Path<u64>) -> Result<Response, Problem> {
    let stored = app.engine.event(Position(position)).await?;
    let stored = stored.ok_or_else(|| Problem::not_found(format!("there is no event at position {position}")))?;
    // An event never changes.
    let headers = [(header::CACHE_CONTROL, "private, max-age=31536000, immutable")];
    Ok((headers, answer(&app, &EventItem::from(stored))?).into_response())
}

impl From<StoredEvent> for EventItem {
    fn from(stored: StoredEvent) -> Self {
        Self {
            position: stored.position.0,
            at: rfc3339(stored.at_ms),
            at_ms: stored.at_ms,
            key: stored.event.key().to_owned(),
            event: stored.event.to_raw(),
        }
    }
}

/// The event of a delivery, as accepted, and when that was.
pub async fn event_of(app: &App, id: &DeliveryId) -> Result<(RawEvent, u64), Problem> {
    let stored = app.engine.event(id.position).await?;
    let stored = stored.ok_or_else(|| Problem::not_found(format!("there is no event at position {}", id.position)))?;
    Ok((stored.event.to_raw(), stored.at_ms))
}
