//! `GET /v1/replays/{id}/differences`: the handlers and keys that come to something else, with the statuses that differ.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{
    PlanId,
    replay::{Examined, LaneId, Side, StatusSides},
};
use weirgate_types::HandlerName;

use super::{
    super::{
        lists::{self, ListSlot},
        problems::{NoSuchReplay, ReplayConflict, TooManyLists},
        query::{Named, Query, check_length, limit},
    },
    ReplayId,
    item::NotExamined,
    parts::StatusShown,
};
use crate::{Problem, app::App, live::SUBJECT_BYTES_MAX};

/// Maximum number of statuses that are shown of a key; the others are counted.
const STATUSES_MAX: usize = 20;
/// Maximum length of a handler's name, a slash and a key.
const AFTER_BYTES_MAX: usize = 64 + 1 + SUBJECT_BYTES_MAX;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DifferencesQuery {
    /// Only entries after this one: the `next` of the previous page.
    #[param(pattern = "^[a-z][a-z0-9-]{0,63}/", max_length = 1089)]
    after: Option<String>,
    /// Only keys on which the status of this subject differs.
    #[param(min_length = 1, max_length = 1024)]
    subject: Option<String>,
    /// Maximum number of entries (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct DifferenceList {
    /// In order of handler and key.
    differences: Vec<LaneDifferenceItem>,
    /// The value of `after` for the next page; absent at the end. A page may be shorter than `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// What was left out; absent if all was examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_examined: Option<NotExamined>,
    /// What was left out at the receivers of events alone: the handler's own keys are all here.
    #[serde(skip_serializing_if = "Option::is_none")]
    receivers_not_examined: Option<NotExamined>,
}

/// A handler and key that come to something else.
#[derive(Serialize, ToSchema)]
pub struct LaneDifferenceItem {
    #[schema(value_type = HandlerName)]
    handler: String,
    key: String,
    /// The handler and key whose event reached it in another form; absent where the candidate itself ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<Cause>,
    /// Number of executed deliveries.
    executed: u64,
    counts: Counts,
    /// Why it cannot be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    fails: Option<FailsItem>,
    /// The subjects whose last status differs.
    statuses: Vec<StatusDifference>,
    /// Number of subjects that were left out, of those that were asked for.
    more_statuses: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Cause {
    #[schema(value_type = HandlerName)]
    handler: String,
    key: String,
}

impl Cause {
    pub fn of((handler, key): &LaneId) -> Self {
        Self { handler: handler.to_string(), key: key.clone() }
    }
}

/// Numbers of what differs.
#[derive(Serialize, ToSchema)]
pub struct Counts {
    statuses: u64,
    values: u64,
    timers: u64,
    /// Emitted events that the log does not hold, and those that only the log holds.
    events_added: u64,
    events_removed: u64,
    outcomes: u64,
    unanswered_calls: u64,
}

/// A delivery that fails, though it completed.
#[derive(Serialize, ToSchema)]
pub struct FailsItem {
    pub event: u64,
    pub reason: String,
}

/// A subject's last status as it is, and as it would be; absent: the handler has set none.
#[derive(Serialize, ToSchema)]
pub struct StatusDifference {
    pub subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<StatusShown>,
    /// `recorded` is absent because a repair has removed the status.
    pub is_removed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork: Option<StatusShown>,
}

/// List what differs, the receivers of changed events included.
#[utoipa::path(
    get, path = "/v1/replays/{id}/differences", operation_id = "list_replay_differences", tag = "replays",
    params(("id" = inline(ReplayId), Path), DifferencesQuery),
    responses((status = 200, description = "What differs", body = DifferenceList), NoSuchReplay, ReplayConflict, TooManyLists),
)]
pub async fn list(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Query(query): Query<DifferencesQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    query.subject.as_deref().map_or(Ok(()), |subject| check_length("subject", subject))?;
    let after = query.after.as_deref().map(lane).transpose()?;
    let slot = ListSlot::take(&app).await?;
    let page = app.engine.differences(id, after, query.subject.as_deref(), limit).await?;
    slot.make(move || {
        let items = page.differences.iter();
        let items = items.map(|(lane, examined)| Ok(LaneDifferenceItem::of(lane, examined, query.subject.as_deref())));
        let (differences, is_cut) = lists::page(items)?;
        let next = match is_cut {
            true => differences.last().map(LaneDifferenceItem::lane).transpose()?,
            false => page.next,
        };
        Ok(DifferenceList {
            differences,
            next: next.map(|(handler, key)| format!("{handler}/{key}")),
            not_examined: page.bound.map(NotExamined::of),
            receivers_not_examined: page.receivers_bound.map(NotExamined::of),
        })
    })
    .await
}

/// The name of a handler and a key, as pages end with it.
fn lane(after: &str) -> Result<LaneId, Problem> {
    let wrong = || Problem::bad_request("bad-query", "`after` is the `next` of the previous page: <handler>/<key>");
    let (handler, key) = after.split_once('/').filter(|_| after.len() <= AFTER_BYTES_MAX).ok_or_else(wrong)?;
    Ok((handler.parse().map_err(|_| wrong())?, key.to_owned()))
}

impl LaneDifferenceItem {
    fn of((handler, key): &LaneId, examined: &Examined, subject: Option<&str>) -> Self {
        let Examined { lane, notes, .. } = examined;
        let status = lane.status();
        let is_shown = |(found, _): &(&String, &StatusSides)| subject.is_none_or(|subject| *found == subject);
        let matching = status.iter().filter(is_shown).count();
        let shown = status.iter().filter(is_shown).take(STATUSES_MAX);
        let statuses: Vec<_> = shown.map(|(subject, sides)| StatusDifference::of(subject, sides)).collect();
        Self {
            handler: handler.to_string(),
            key: key.clone(),
            caused_by: notes.caused_by.as_ref().map(Cause::of),
            executed: notes.executed,
            counts: Counts {
                statuses: status.len() as u64,
                values: lane.state().len() as u64,
                timers: lane.timers().len() as u64,
                events_added: lane.emissions().only_fork().len() as u64,
                events_removed: lane.emissions().only_recorded().len() as u64,
                outcomes: notes.outcomes.first.len() as u64 + notes.outcomes.more,
                unanswered_calls: notes.unanswered.first.len() as u64 + notes.unanswered.more,
            },
            fails: notes.fails().map(|fails| FailsItem { event: fails.event.0, reason: fails.reason.clone() }),
            more_statuses: matching.saturating_sub(statuses.len()) as u64,
            statuses,
        }
    }

    fn lane(&self) -> Result<LaneId, Problem> {
        Ok((self.handler.parse()?, self.key.clone()))
    }
}

impl StatusDifference {
    pub fn of(subject: &str, sides: &StatusSides) -> Self {
        Self {
            subject: subject.to_owned(),
            recorded: sides.is().map(StatusShown::of),
            is_removed: sides.recorded == Side::Unset,
            fork: sides.would_be().map(StatusShown::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_a_handler_and_a_key() {
        for (after, found) in [("a/k", Some(("a", "k"))), ("a/b/c", Some(("a", "b/c"))), ("a", None), ("A/k", None)] {
            let lane = lane(after).ok().map(|(handler, key)| (handler.to_string(), key));
            assert_eq!(lane, found.map(|(handler, key)| (handler.to_owned(), key.to_owned())), "{after}");
        }
    }
}
