//! `GET /v1/replays/{id}/keys?key=...`: one key as it would have been, and what applying the replay appends.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{
    KeyDifferences, KeyLane, PlanId,
    replay::{Changes, Emission, Examined, OutcomeChange, PathStep},
};
use weirgate_types::{HandlerName, Position, StatusWrite};

use super::{
    super::{
        lists::{self, ListSlot},
        problems::{HistoryNotReady, NoSuchReplay, ReplayConflict},
        query::{Named, Query, check_length},
        shown::Shown,
    },
    ReplayId,
    differences::{Cause, FailsItem, StatusDifference},
    parts::{CallShown, Cut, EmittedShown, LIST_MAX, StatusShown, TimerShown, value},
    plan::KeyPlanItem,
};
use crate::{Problem, app::App};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// For instance order/o-1.
    #[param(min_length = 1, max_length = 1024)]
    key: String,
}

/// What differs for a key. Without a handler and without a plan, nothing does.
#[derive(Serialize, ToSchema)]
pub struct ReplayKey {
    key: String,
    /// As it would have been, at each handler that comes to something else.
    handlers: Vec<LaneItem>,
    /// Number of handlers that were left out, because the answer would be too large.
    more_handlers: u64,
    /// What applying the replay appends.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<KeyPlanItem>,
}

/// What a handler comes to. `recorded` is what the log holds, `fork` what would have been.
#[derive(Serialize, ToSchema)]
pub struct LaneItem {
    #[schema(value_type = HandlerName)]
    handler: String,
    /// The handler and key whose event reached it in another form; absent where the candidate itself ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    caused_by: Option<Cause>,
    /// The first event whose delivery was executed, and the record of the last one.
    from: u64,
    through: u64,
    /// Number of executed deliveries.
    executed: u64,
    /// Why it cannot be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    fails: Option<FailsItem>,
    /// Events that no delivery in the log was opened for, and events whose deliveries would not have been.
    opened: Cut<u64>,
    dropped: Cut<u64>,
    outcomes: Cut<OutcomeItem>,
    /// The statuses that deliveries set otherwise, in order.
    path: Cut<PathItem>,
    /// The last statuses that differ.
    statuses: Cut<StatusDifference>,
    values: Cut<ValueDifference>,
    events_added: Cut<EmittedShown>,
    events_removed: Cut<EmittedShown>,
    /// Events in place of which others of the same type and key would have been emitted.
    events_changed: Cut<EventDifference>,
    /// Timers as they would be set.
    timers: Cut<TimerShown>,
    /// Calls that the log has no answer for, and calls of the log that would not have been made.
    unanswered_calls: Cut<CallShown>,
    unmade_calls: Cut<CallShown>,
    /// Calls that the replay made, with their answers.
    made_calls: Cut<CallShown>,
}

/// A delivery that ends otherwise.
#[derive(Serialize, ToSchema)]
pub struct OutcomeItem {
    event: u64,
    /// `completed` or `dead-lettered`.
    #[schema(value_type = String)]
    /// Absent: it was not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<weirgate_engine::replay::Closed>,
    /// The failure; absent: it completes.
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<String>,
}

/// A status that a delivery sets on one side only, or otherwise.
#[derive(Serialize, ToSchema)]
pub struct PathItem {
    event: u64,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<StatusShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<StatusShown>,
}

/// A value of the state; absent: there is none.
#[derive(Serialize, ToSchema)]
pub struct ValueDifference {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<Shown>,
}

#[derive(Serialize, ToSchema)]
pub struct EventDifference {
    recorded: EmittedShown,
    fork: EmittedShown,
}

/// Read what differs for one key, at all handlers, and what applying the replay appends.
#[utoipa::path(
    get, path = "/v1/replays/{id}/keys", operation_id = "read_replay_key", tag = "replays",
    params(("id" = inline(ReplayId), Path), KeyQuery),
    responses((status = 200, description = "What differs", body = ReplayKey), NoSuchReplay, ReplayConflict, HistoryNotReady),
)]
pub async fn read(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Query(KeyQuery { key }): Query<KeyQuery>,
) -> Result<Response, Problem> {
    check_length("key", &key)?;
    let slot = ListSlot::take(&app).await?;
    let KeyDifferences { lanes, plan } = app.engine.differences_of_key(id, &key, LIST_MAX).await?;
    slot.make(move || {
        let (handlers, _) = lists::page(lanes.iter().map(|lane| Ok(LaneItem::of(lane))))?;
        let plan = plan.of_key(&key).map(|one| KeyPlanItem::of(one, plan.now_ms));
        let more_handlers = lanes.len().saturating_sub(handlers.len()) as u64;
        Ok(ReplayKey { key, handlers, more_handlers, plan })
    })
    .await
}

impl LaneItem {
    fn of(KeyLane { handler, examined, recorded }: &KeyLane) -> Self {
        let Examined { lane, notes, .. } = &**examined;
        let position = |position: &Position| position.0;
        let Changes { added, removed, changed } = lane.emissions().changes();
        let of_log = |one: &Emission| EmittedShown::of(one.delivery, Some(one.at), &one.event);
        let of_fork = |one: &Emission| EmittedShown::of(one.delivery, None, &one.event);
        let both = |(recorded, fork): &(&Emission, &Emission)| EventDifference {
            recorded: of_log(recorded),
            fork: of_fork(fork),
        };
        let of_state = |(name, fork): (&String, &Option<Vec<u8>>)| ValueDifference {
            name: name.clone(),
            recorded: recorded.get(name).and_then(Option::as_deref).map(value),
            fork: fork.as_deref().map(value),
        };
        Self {
            handler: handler.to_string(),
            caused_by: notes.caused_by.as_ref().map(Cause::of),
            from: notes.from.0,
            through: notes.through.0,
            executed: notes.executed,
            fails: notes.fails().map(|fails| FailsItem { event: fails.event.0, reason: fails.reason.clone() }),
            opened: Cut::listed(&notes.opened, position),
            dropped: Cut::listed(&notes.dropped, position),
            outcomes: Cut::listed(&notes.outcomes, OutcomeItem::of),
            path: Cut::listed(&notes.path, PathItem::of),
            statuses: Cut::of(lane.status().iter().map(|(subject, sides)| StatusDifference::of(subject, sides))),
            values: Cut::of(lane.state().iter().map(of_state)),
            events_added: Cut::of(added.iter().map(|one| of_fork(one))),
            events_removed: Cut::of(removed.iter().map(|one| of_log(one))),
            events_changed: Cut::of(changed.iter().map(both)),
            timers: Cut::of(lane.timers().iter().map(|(name, set)| TimerShown::of(name, set.as_ref()))),
            unanswered_calls: Cut::listed(&notes.unanswered, CallShown::unanswered),
            unmade_calls: Cut::of(notes.not_made.all.iter().map(CallShown::unmade)),
            made_calls: Cut::listed(&notes.made, CallShown::answered),
        }
    }
}

impl OutcomeItem {
    fn of(change: &OutcomeChange) -> Self {
        Self { event: change.event.0, recorded: change.recorded, fork: change.fork.clone() }
    }
}

impl PathItem {
    fn of(step: &PathStep) -> Self {
        let shown = |write: &Option<StatusWrite>| write.as_ref().map(StatusShown::of);
        let (recorded, fork) = (shown(&step.recorded), shown(&step.fork));
        Self { event: step.event.0, subject: step.subject.clone(), recorded, fork }
    }
}
