//! The named problem responses of the OpenAPI document: what a route may answer besides success.

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
                BTreeMap::from([($status.to_string(), problem($description))])
            }
        }
    )*};
}

problems! {
    NoLiveRequest: 400, "Neither";
    KeyRefused: 400, "The key is too long, or the query is invalid";
    NotACloudEvent: 400, "Not a CloudEvent";
    SubjectRefused: 400, "The subject is too long, or the query is invalid";
    DeliveryClosed: 404, "Neither open nor a dead letter";
    NoSuchBreaker: 404, "No such breaker";
    NoSuchBulkJob: 404, "No such bulk job since the server started";
    NoSuchEvent: 404, "No event at this position";
    NoSuchHandler: 404, "No such handler";
    NoSuchReplay: 404, "No such replay";
    NoSuchReplayCandidate: 404, "No such handler, version or module";
    NoSuchVersion: 404, "No such handler or version, or its module is gone";
    NoSuchModule: 404, "No such module";
    UnknownKey: 404, "Nothing is known of the key";
    NoSuchProblem: 404, "No such problem";
    NotADeadLetter: 404, "Not a dead letter";
    NotOpen: 404, "Not open";
    UnknownSubject: 404, "The subject has no status";
    AmbiguousDigest: 409, "The digits are the first of several modules' digests";
    HandlerHasDeliveries: 409, "It has open deliveries or dead letters";
    DeploymentConflict: 409, "The digits are the first of several modules' digests, the handler lags behind its last changes of subscriptions, it is being removed, or what the version may do needs approval";
    RollbackConflict: 409, "There is no earlier version, it is in force already, another was deployed meanwhile, or what the version may do needs approval";
    ReplayConflict: 409, "The replay is in another state, or not computed yet; see `code`, and Retry-After if it is there";
    TooManyBreakers: 409, "Too many hosts' breakers are open for all handlers";
    DeliveryRunning: 409, "An attempt is running; see Retry-After";
    VersionDiffers: 412, "`If-Match` names another version";
    DataTooLarge: 413, "The data is too large";
    AuditRefused: 422, "`actor` or `reason` is too long or not one line";
    CommandRefused: 422, "The command is invalid";
    DataRefused: 422, "The data is invalid or does not fit the event";
    EventRefused: 422, "An event that Weirgate does not accept, for instance one without a key";
    EventsRefused: 422, "One of the events is invalid";
    ReplayRefused: 422, "The candidate, the selection, the limits, the keys or the receivers are invalid";
    ManifestRefused: 422, "The manifest is invalid";
    ModuleRefused: 422, "Not a valid handler component; see `code` and `detail`";
    OtherWebSocketVersion: 426, "A version of the WebSocket protocol other than 13; see Sec-WebSocket-Version";
    TooMuchInFlight: 429, "Too many events in flight; see Retry-After";
    HistoryNotReady: 503, "Too many lists are being read, or the index is being made; see Retry-After";
    VerificationRefused: 503, "Too many replays wait, or the index is being made; see Retry-After";
    TooManyConnections: 503, "Too many connections; see Retry-After";
    TooManyLists: 503, "Too many concurrent lists; see Retry-After";
    TooManyReads: 503, "Too many reads wait, or answers that are not read yet are too large; see Retry-After";
    TooManyQueries: 503, "Too many lists are being read; see Retry-After";
    TooManyUploads: 503, "Too many concurrent uploads; see Retry-After";
    NoRoomForModules: 507, "The disk is nearly full, or modules that were never deployed take too much space";
}

pub fn problem(description: &str) -> RefOr<Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    Response::builder().description(description).content("application/problem+json", content).build().into()
}
