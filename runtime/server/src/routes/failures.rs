//! Failed attempts, as the endpoints show them.

use serde::Serialize;
use utoipa::ToSchema;
use weirgate_engine::Failure;
use weirgate_types::{Digest, FailureClass, FailureKind, LogLevel, LogLine};

use super::times::rfc3339;

/// A failed attempt.
#[derive(Serialize, ToSchema)]
pub struct FailedAttempt {
    attempt: u32,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    at: String,
    at_ms: u64,
    /// The handler's version.
    #[schema(value_type = Digest)]
    digest: String,
    /// `transient`, `correctable` or `permanent`.
    class: FailureClass,
    /// `handler`, `trap`, `timeout`, `memory`, `effect-limit`, `contract`, `interrupted`, `circuit-open`, `not-reached`
    /// or `migration`.
    kind: FailureKind,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_is_wrong: Option<String>,
    /// When the next attempt was due: RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at_ms: Option<u64>,
    /// The attempt's log lines.
    log: Vec<LogItem>,
}

#[derive(Serialize, ToSchema)]
pub struct LogItem {
    /// `debug`, `info`, `warn` or `error`.
    level: LogLevel,
    message: String,
}

impl From<Failure> for FailedAttempt {
    fn from(failed: Failure) -> Self {
        Self {
            attempt: failed.attempt,
            at: rfc3339(failed.at_ms),
            at_ms: failed.at_ms,
            digest: failed.digest.to_string(),
            class: failed.failure.class,
            kind: failed.failure.kind,
            message: failed.failure.message,
            what_is_wrong: failed.failure.what_is_wrong,
            next_attempt_at: failed.due_ms.map(rfc3339),
            next_attempt_at_ms: failed.due_ms,
            log: failed.log.into_iter().map(LogItem::from).collect(),
        }
    }
}

impl LogItem {
    /// Approximate size in an answer.
    pub fn bytes(&self) -> usize {
        self.message.len()
    }
}

impl From<LogLine> for LogItem {
    fn from(line: LogLine) -> Self {
        Self { level: line.level, message: line.message }
    }
}
