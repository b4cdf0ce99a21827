//! Errors as RFC 9457 problem details: one shape for all endpoints.

use axum::{
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use weirgate_engine::{ModuleError, Refusal};
use weirgate_types::{EventError, IdError, ManifestError, wording};

use crate::routes::Growth;

/// An error, for programs (`code`) and for people (`detail`). Nothing was changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `/problems/<code>`: a page of the server that says what to do.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// A stable code, listed in `docs/problems.md`.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Seconds; also sent as `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// With `needs-approval`: what the version may do that the one in force may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Growth>)]
    pub growth: Option<Box<Growth>>,
}

/// Maximum length of an error's text. Client input in it is cut.
const DETAIL_BYTES_MAX: usize = 2_048;

/// `text`, cut at a character's end if it is too long for an error.
pub fn bounded(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
        text.push('…');
    }
    text
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: bounded(detail.into()),
            code: code.to_owned(),
            retryable: false,
            retry_after: None,
            growth: None,
        }
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        (self.retryable, self.retry_after) = (true, Some(seconds));
        self
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// A body in another charset than UTF-8.
    #[must_use]
    pub fn bad_charset(charset: &str) -> Self {
        let detail = format!("the charset {charset:?} is not taken: JSON is sent in UTF-8 (RFC 8259)");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-charset", detail)
    }

    /// An operator's command, or its reason, is invalid.
    pub fn bad_command(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-command", detail)
    }

    /// A failure of the server: logged in full, and not shown to the client.
    pub fn internal(code: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(code, error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, "internal error; see the server's log")
    }

    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        let status = match &error {
            EventError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            EventError::Malformed(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-in-flight", detail).retry_after(1),
            Refusal::TooManyQueries => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-queries", detail).retry_after(1)
            }
            Refusal::HistoryNotReady(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "history-not-ready", detail).retry_after(5)
            }
            Refusal::DiskFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", detail).retry_after(30),
            Refusal::OutcomeUnknown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", detail).retry_after(30)
            }
            Refusal::ModuleQueueFull => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-uploads", detail).retry_after(5)
            }
            Refusal::TooManyModules { .. } => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "too-many-modules", detail).retry_after(600)
            }
            Refusal::TooManyJobs(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-jobs", detail).retry_after(5)
            }
            Refusal::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry_after(2),
            Refusal::TooManyHandlers(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many-handlers", detail),
            Refusal::TooFarBehind(_) => Self::new(StatusCode::CONFLICT, "too-far-behind", detail).retry_after(5),
            Refusal::UnknownHandler(_) => Self::new(StatusCode::NOT_FOUND, "unknown-handler", detail),
            Refusal::NotADeadLetter(_) => Self::new(StatusCode::NOT_FOUND, "not-a-dead-letter", detail),
            Refusal::NotOpen(_) => Self::new(StatusCode::NOT_FOUND, "not-open", detail),
            Refusal::Running(_) => Self::new(StatusCode::CONFLICT, "running", detail).retry_after(1),
            Refusal::Changed(_) | Refusal::VersionChanged(_) => {
                Self::new(StatusCode::CONFLICT, "changed", detail).retry_after(1)
            }
            Refusal::NeedsApproval(growth) => Self {
                growth: Some(Box::new((&*growth).into())),
                ..Self::new(StatusCode::CONFLICT, "needs-approval", detail)
            },
            Refusal::BeingRemoved(_) => Self::new(StatusCode::CONFLICT, "being-removed", detail).retry_after(1),
            Refusal::KeyOnHold(_) | Refusal::HoldOver | Refusal::TimerDue | Refusal::PartWritten { .. } => {
                Self::new(StatusCode::CONFLICT, "key-on-hold", detail).retry_after(1)
            }
            Refusal::Id(error) => error.into(),
            Refusal::UnknownBreaker(_) => Self::new(StatusCode::NOT_FOUND, "unknown-breaker", detail),
            Refusal::UnknownBulkJob(_) => Self::new(StatusCode::NOT_FOUND, "unknown-bulk-job", detail),
            Refusal::Correction(_) => Self::bad_command(detail),
            Refusal::SecretNotBound { .. } | Refusal::SecretElsewhere { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "secret-not-bound", detail)
            }
            Refusal::Manifest(error) => error.into(),
            Refusal::Module(error) => of_module(&error, detail),
            refusal => of_version(&refusal, detail),
        }
    }
}

fn of_version(refusal: &Refusal, detail: String) -> Problem {
    let (status, code) = match refusal {
        Refusal::HasDeliveries { .. } => (StatusCode::CONFLICT, "has-deliveries"),
        Refusal::TooManyBreakers(_) => (StatusCode::CONFLICT, "too-many-breakers"),
        Refusal::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown-version"),
        Refusal::NoEarlierVersion(_) => (StatusCode::CONFLICT, "no-earlier-version"),
        Refusal::VersionInForce { .. } => (StatusCode::CONFLICT, "version-in-force"),
        Refusal::OlderState { .. } => (StatusCode::CONFLICT, "needs-rebuild"),
        Refusal::NoMigration { .. } => (StatusCode::CONFLICT, "no-migration"),
        Refusal::KeyFinishes { .. } => (StatusCode::CONFLICT, "key-finishes"),
        Refusal::CannotFinish(_) => (StatusCode::CONFLICT, "cannot-finish"),
        Refusal::TooManyFinishing { .. } => (StatusCode::CONFLICT, "too-many-finishing"),
        Refusal::UnknownDigest(_) => (StatusCode::NOT_FOUND, "unknown-digest"),
        Refusal::AmbiguousDigest(_) => (StatusCode::CONFLICT, "ambiguous-digest"),
        refusal => return of_replay(refusal, detail),
    };
    Problem::new(status, code, detail)
}

/// What a replay is refused for; other refusals are failures of the server.
fn of_replay(refusal: &Refusal, detail: String) -> Problem {
    let (status, code) = match refusal {
        Refusal::UnknownReplay(_) => (StatusCode::NOT_FOUND, "unknown-replay"),
        Refusal::ReplayUnderWay { .. } => (StatusCode::CONFLICT, "replay-under-way"),
        Refusal::ReplayText { .. } | Refusal::RepairTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "replay-too-large")
        }
        Refusal::Selection(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad-selection"),
        Refusal::ReplayNotReady(_) => {
            return Problem::new(StatusCode::CONFLICT, "replay-not-ready", detail).retry_after(1);
        }
        Refusal::ReplayFailed { .. } => (StatusCode::CONFLICT, "replay-failed"),
        Refusal::ReplayOver(_) | Refusal::HandlerReplaced { .. } => (StatusCode::CONFLICT, "replay-over"),
        Refusal::PlanChanged { .. } => (StatusCode::CONFLICT, "plan-changed"),
        Refusal::NotFoldable { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "not-foldable"),
        Refusal::ReceiverNotPlanned { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "receiver-not-planned"),
        Refusal::PlanNotWhole { .. } => (StatusCode::CONFLICT, "plan-not-whole"),
        Refusal::TooManyWhatIfs => {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-what-ifs", detail).retry_after(5);
        }
        Refusal::HandledSince { .. } => (StatusCode::CONFLICT, "handled-since"),
        Refusal::UndoneSince { .. } => (StatusCode::CONFLICT, "undone-since"),
        Refusal::PlanIsEmpty(_) => (StatusCode::CONFLICT, "plan-is-empty"),
        Refusal::NoKeyCanBeRepaired(_) => (StatusCode::CONFLICT, "no-key-can-be-repaired"),
        Refusal::NotApproved(_) => (StatusCode::CONFLICT, "not-approved"),
        Refusal::ReplayRuns(_) => (StatusCode::CONFLICT, "replay-runs"),
        Refusal::KeyNotPlanned { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "key-not-planned"),
        Refusal::NothingToUndo(_) => (StatusCode::CONFLICT, "nothing-to-undo"),
        Refusal::UndoNotRequested(_) => (StatusCode::CONFLICT, "undo-not-requested"),
        Refusal::CandidateNotInForce(_) => (StatusCode::CONFLICT, "candidate-not-in-force"),
        Refusal::ApprovalOver { .. } => (StatusCode::CONFLICT, "version-changed"),
        Refusal::ReplayState { .. } => (StatusCode::CONFLICT, "replay-state"),
        failure => return Problem::internal("storage", failure),
    };
    Problem::new(status, code, detail)
}

fn of_module(error: &ModuleError, detail: String) -> Problem {
    let (status, retry_after) = match error.code() {
        "module-missing" => (StatusCode::NOT_FOUND, None),
        "module-too-large" => (StatusCode::PAYLOAD_TOO_LARGE, None),
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, Some(2)),
        _ if error.is_disk_full() => {
            return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", detail).retry_after(30);
        }
        _ if error.is_callers() => (StatusCode::UNPROCESSABLE_ENTITY, None),
        code => return Problem::internal(code, error),
    };
    let problem = Problem::new(status, error.code(), detail);
    match retry_after {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    }
}

impl From<ManifestError> for Problem {
    fn from(error: ManifestError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-manifest", error.to_string())
    }
}

impl From<IdError> for Problem {
    fn from(error: IdError) -> Self {
        Self::bad_request("bad-id", error.to_string())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let said = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Self::bad_request("bad-query", wording::located(said))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        let text = rejection.body_text();
        let said = text.strip_prefix("Invalid URL: Cannot parse `").and_then(|said| said.rsplit_once("` to a "));
        let detail = match said.map(|(value, _)| value.rsplit_once("` with value `").map_or(value, |(_, value)| value))
        {
            Some(value) => format!("{value:?} in the path is no whole number, or out of range"),
            None => text.strip_prefix("Invalid URL: ").unwrap_or(&text).to_owned(),
        };
        Self::bad_request("bad-path", detail)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let text = rejection.body_text();
        let detail = match text.strip_prefix("Failed to deserialize the JSON body into the target type: ") {
            Some(said) => wording::located(said),
            None => match text.strip_prefix("Failed to parse the request body as JSON: ") {
                Some(said) => format!("the body is not JSON: {}", wording::located(said)),
                None => text,
            },
        };
        Self::new(rejection.status(), "bad-json", detail)
    }
}
