//! `GET /v1/attempts`: the finished attempts in the log, with what they left: outcome, log lines, statuses, emitted events.

use std::ops::ControlFlow;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_types::{
    AttemptFailure, Commit, DeliveryId, Digest, FailureClass, FailureKind, HandlerName, Outcome, Position, StatusWrite,
};

use super::{
    failures::LogItem,
    lists::{ListSlot, PAGE_BYTES_MAX},
    problems::{NoSuchHandler, TooManyLists, TooManyQueries},
    query::{Query, known_handler, limit},
    times::rfc3339,
};
use crate::{Problem, app::App};

/// Maximum number of positions that one request scans.
const LOOK_POSITIONS_MAX: u64 = 200_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AttemptsQuery {
    /// Only attempts whose record is after this position.
    #[param(value_type = Option<Position>, inline)]
    after: Option<u64>,
    /// Maximum number of items (default 100, at most 1,000). The attempts of one call are listed together, beyond it if need be.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    #[param(value_type = Option<HandlerName>, inline)]
    handler: Option<String>,
    /// Only attempts at deliveries of this key.
    key: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AttemptList {
    attempts: Vec<AttemptItem>,
    /// The position up to which the log was searched: attempts that end later are after it.
    next_after: u64,
    /// The value of `after` for the next page; absent at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// The log's last position.
    head: u64,
}

/// A finished attempt.
#[derive(Serialize, ToSchema)]
pub struct AttemptItem {
    /// The position of its record.
    position: u64,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    at: String,
    at_ms: u64,
    /// `<handler>@<position of the event>`.
    #[schema(value_type = DeliveryId)]
    delivery: String,
    #[schema(value_type = HandlerName)]
    handler: String,
    key: String,
    attempt: u32,
    /// The handler's version.
    #[schema(value_type = Digest)]
    digest: String,
    /// The version of the key's state that was migrated before the handler was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    migrated_from: Option<u32>,
    /// `completed`, `withheld` (completed, with emissions that wait for earlier deliveries), `retry`, `awaiting-correction` or
    /// `dead-lettered`.
    outcome: &'static str,
    /// Retry: when the next attempt is due: RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at_ms: Option<u64>,
    /// Absent if it completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureItem>,
    /// Its log lines.
    log: Vec<LogItem>,
    /// The statuses that it set.
    statuses: Vec<StatusItem>,
    /// The types of the events that it emitted, the runtime's own left out.
    emitted: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct FailureItem {
    /// `transient`, `correctable` or `permanent`.
    #[schema(value_type = String)]
    class: FailureClass,
    /// As in the failures of a delivery.
    #[schema(value_type = String)]
    kind: FailureKind,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_is_wrong: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct StatusItem {
    subject: String,
    state: String,
    text: String,
}

/// List finished attempts, in the order of the log.
#[utoipa::path(
    get, path = "/v1/attempts", operation_id = "list_attempts", tag = "deliveries", params(AttemptsQuery),
    responses(
        (status = 200, description = "Attempts in order of position", body = AttemptList),
        NoSuchHandler, TooManyQueries, TooManyLists,
    ),
)]
pub async fn list(State(app): State<App>, Query(query): Query<AttemptsQuery>) -> Result<Response, Problem> {
    let handler = known_handler(&app.engine, query.handler.as_deref()).await?;
    let slot = ListSlot::take(&app).await?;
    let limit = limit(query.limit)?;
    let (sender, mut found) = tokio::sync::mpsc::unbounded_channel();
    let after = Position(query.after.unwrap_or(0));
    let (mut count, mut bytes, mut last) = (0, 0, None);
    let look = move |position: Position, commits: &[Commit]| {
        let is_wanted = |commit: &&Commit| {
            handler.as_ref().is_none_or(|name| *name == commit.handler)
                && query.key.as_ref().is_none_or(|key| *key == commit.key)
        };
        for commit in commits.iter().filter(is_wanted) {
            // The one that is too many tells that there is a next page.
            if (count >= limit || bytes >= PAGE_BYTES_MAX) && last != Some(position) {
                // The receiver outlives the scan.
                let _ = sender.send(None);
                return ControlFlow::Break(());
            }
            let item = AttemptItem::of(position, commit);
            (count, bytes, last) = (count + 1, bytes + item.bytes(), Some(position));
            let _ = sender.send(Some(item));
        }
        ControlFlow::Continue(())
    };
    let head = app.engine.head().0;
    let (through, look) = app.engine.attempts(after, LOOK_POSITIONS_MAX, look).await?;
    drop(look);
    let (mut attempts, mut is_full) = (Vec::<AttemptItem>::new(), false);
    while let Some(item) = found.recv().await {
        is_full |= item.is_none();
        attempts.extend(item);
    }
    let last = attempts.last().map_or(after.0, |last| last.position);
    let next_after = if is_full { last } else { through.0 };
    let next = (is_full || next_after < head).then_some(next_after);
    slot.answer(AttemptList { attempts, next_after, next, head }).await
}

/// The name of an outcome, when the next attempt is due, and why it failed.
pub fn ended(outcome: &Outcome) -> (&'static str, Option<u64>, Option<&AttemptFailure>) {
    match outcome {
        Outcome::Completed => ("completed", None, None),
        Outcome::Withheld => ("withheld", None, None),
        Outcome::Retry { due_ms, failure, .. } => ("retry", Some(*due_ms), Some(failure)),
        Outcome::AwaitingCorrection { failure, .. } => ("awaiting-correction", None, Some(failure)),
        Outcome::DeadLettered { failure, .. } => ("dead-lettered", None, Some(failure)),
    }
}

impl AttemptItem {
    fn of(position: Position, commit: &Commit) -> Self {
        let delivery = commit.delivery();
        let (outcome, next_attempt_at_ms, failure) = ended(&commit.outcome);
        let statuses = commit.effects.status.iter().map(StatusItem::of);
        let emitted = commit.effects.emitted.iter().chain(&commit.effects.withheld);
        let emitted = emitted.filter(|event| !event.r#type.starts_with("weirgate."));
        Self {
            position: position.0,
            at: rfc3339(commit.at_ms),
            at_ms: commit.at_ms,
            delivery: delivery.to_string(),
            handler: commit.handler.to_string(),
            key: commit.key.clone(),
            attempt: commit.attempt,
            digest: commit.digest.to_string(),
            migrated_from: commit.migrated_from,
            outcome,
            next_attempt_at: next_attempt_at_ms.map(rfc3339),
            next_attempt_at_ms,
            failure: failure.map(FailureItem::of),
            log: commit.log.iter().cloned().map(LogItem::from).collect(),
            statuses: statuses.collect(),
            emitted: emitted.map(|event| event.r#type.clone()).collect(),
        }
    }

    /// Approximate size in an answer.
    fn bytes(&self) -> usize {
        let failure = self.failure.as_ref();
        let failure = failure.map_or(0, |one| one.message.len() + one.what_is_wrong.as_ref().map_or(0, String::len));
        let log: usize = self.log.iter().map(LogItem::bytes).sum();
        let statuses = self.statuses.iter().map(|one| one.subject.len() + one.state.len() + one.text.len());
        let emitted: usize = self.emitted.iter().map(String::len).sum();
        self.key.len() + failure + log + statuses.sum::<usize>() + emitted
    }
}

impl StatusItem {
    pub fn of(write: &StatusWrite) -> Self {
        Self { subject: write.subject.clone(), state: write.state.clone(), text: write.text.clone() }
    }
}

impl FailureItem {
    pub fn of(failure: &AttemptFailure) -> Self {
        let AttemptFailure { class, kind, message, what_is_wrong, .. } = failure.clone();
        Self { class, kind, message, what_is_wrong }
    }
}
