//! The problem responses of the OpenAPI document, each by a name: what a route may answer besides what it is asked for.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{Content, Ref, RefOr, Response},
};

macro_rules! problems {
    ($($name:ident: $status:literal, $description:literal;)*) => {$(
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                problem($status, $description)
            }
        }
    )*};
}

problems! {
    NoLiveRequest: 400, "Neither";
    NotACloudEvent: 400, "Not a CloudEvent";
    SubjectRefused: 400, "The subject is too long, or the query is wrong";
    OriginRefused: 403, "Pages of this origin may not connect";
    DeliveryClosed: 404, "Neither open nor a dead letter";
    NoSuchBreaker: 404, "No such breaker";
    NoSuchBulkJob: 404, "No such bulk job since the server started";
    NoSuchEvent: 404, "No event there";
    NoSuchHandler: 404, "No such handler";
    NoSuchModule: 404, "No such module";
    NotADeadLetter: 404, "Not a dead letter";
    NotOpen: 404, "Not open";
    UnknownSubject: 404, "Nothing is known of the subject";
    TooSlow: 408, "It took too long to come";
    DeliveryRunning: 409, "It is running; see Retry-After";
    DataTooLarge: 413, "The data is too large";
    TooLarge: 413, "Too large";
    UnknownContentType: 415, "Not a content type of CloudEvents";
    AuditRefused: 422, "`actor` or `reason` cannot be kept";
    CommandRefused: 422, "The command is not right";
    DataRefused: 422, "The data is not right, or does not fit the event";
    EventRefused: 422, "A CloudEvent that Weirgate cannot take, for instance one without a key";
    EventsRefused: 422, "One of the events is not one that can be taken";
    ManifestRefused: 422, "The manifest is wrong";
    ModuleRefused: 422, "Not a component that can be run here; `code` and `detail` say why";
    TooMuchInFlight: 429, "Too much in flight; see Retry-After";
    Stopping: 503, "The server is stopping";
    TooManyConnections: 503, "Too many connections; see Retry-After";
    TooManyLists: 503, "Too many lists are being answered; see Retry-After";
    TooManyQueries: 503, "Too many lists are being read; see Retry-After";
    TooManyUploads: 503, "Too many uploads are under way; see Retry-After";
    DiskFull: 507, "The disk is nearly full";
    NoRoomForModules: 507, "The disk is nearly full, or modules that no handler uses take too much of it";
}

fn problem(status: u16, description: &str) -> BTreeMap<String, RefOr<Response>> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = Response::builder().description(description).content("application/problem+json", content).build();
    BTreeMap::from([(status.to_string(), response.into())])
}
