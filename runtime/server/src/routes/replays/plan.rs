//! `GET /v1/replays/{id}/plan`: what applying a replay appends, key by key.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{
    PlanId, Refusal, TimersAsOf,
    replay::{KeyPlan, Planned, Stays},
};
use weirgate_types::{Digest, HandlerName, StateWrite, StatusWrite, TimerSetting};

use super::{
    super::{
        lists::{self, ListSlot},
        problems::{NoSuchReplay, ReplayConflict, ReplayRefused, TooManyLists},
        query::{Named, Query, check_length, limit},
        shown::Shown,
    },
    ReplayId,
    parts::{CallShown, Cut, EmittedShown, StatusShown, TimerShown, value},
};
use crate::{Problem, app::App};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlanQuery {
    /// The plan of this receiver, if it is folded again: one of `receivers` (default: that of the handler).
    #[param(value_type = Option<HandlerName>, inline)]
    receiver: Option<String>,
    /// Only keys after this one: the `next` of the previous page.
    #[param(min_length = 1, max_length = 1024)]
    after: Option<String>,
    /// Maximum number of keys (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct PlanList {
    /// The digest of the whole plan: what is approved.
    #[schema(value_type = Digest)]
    plan: String,
    /// Receivers of changed events that may be folded again, and have a plan of their own; it is applied where that is approved.
    #[schema(value_type = Vec<HandlerName>)]
    receivers: Vec<String>,
    /// In order.
    keys: Vec<KeyPlanItem>,
    /// The value of `after` for the next page; absent at the end. A page may be shorter than `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What is appended for a key, and what cannot be changed.
#[derive(Serialize, ToSchema)]
pub struct KeyPlanItem {
    key: String,
    /// Why it cannot be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// The call that it lacks the answer of: an application makes it if that is approved (`allow_calls`), and goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_call: Option<CallShown>,
    /// Values of the state.
    values: Cut<ValueItem>,
    statuses: Cut<PlannedStatus>,
    /// Subjects whose status loses the handler's part.
    unset: Cut<String>,
    events: Cut<EmittedShown>,
    timers: Cut<TimerShown>,
    /// Timers that were due in the past: they are set, and so fire at once, only if that is approved.
    past_timers: Cut<TimerShown>,
    /// Emitted events that cannot be withdrawn.
    stays: Cut<EmittedShown>,
    /// Calls that were made and would not have been.
    calls: Cut<CallShown>,
    /// Subjects whose status stays, because another key has set it since.
    others: Cut<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ValueItem {
    name: String,
    /// Absent: it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Shown>,
}

#[derive(Serialize, ToSchema)]
pub struct PlannedStatus {
    subject: String,
    #[serde(flatten)]
    status: StatusShown,
}

/// Read what applying a replay appends.
#[utoipa::path(
    get, path = "/v1/replays/{id}/plan", operation_id = "read_replay_plan", tag = "replays",
    params(("id" = inline(ReplayId), Path), PlanQuery),
    responses((status = 200, description = "The plan", body = PlanList), NoSuchReplay, ReplayConflict, ReplayRefused, TooManyLists),
)]
pub async fn read(
    State(app): State<App>,
    Named(id): Named<PlanId>,
    Query(query): Query<PlanQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    query.after.as_deref().map_or(Ok(()), |after| check_length("after", after))?;
    let slot = ListSlot::take(&app).await?;
    let receiver = query.receiver.map(|receiver| receiver.parse::<HandlerName>()).transpose()?;
    let plan = app.engine.plan(id, receiver.clone()).await?;
    slot.make(move || {
        let receivers = plan.receivers();
        // Without a plan it would look like one that nothing is planned for.
        if let Some(handler) = receiver.filter(|receiver| !receivers.contains(receiver)) {
            return Err(Refusal::ReceiverNotPlanned { replay: id.replay, handler }.into());
        }
        let mut behind = plan.behind(query.after.as_deref());
        let items = behind.by_ref().take(limit).map(|one| Ok(KeyPlanItem::of(one, plan.now_ms)));
        let (keys, is_cut) = lists::page(items)?;
        let has_more = is_cut || behind.next().is_some();
        let next = keys.last().filter(|_| has_more).map(|last| last.key.clone());
        let receivers = receivers.iter().map(ToString::to_string).collect();
        Ok(PlanList { plan: plan.digest().to_string(), receivers, keys, next })
    })
    .await
}

impl KeyPlanItem {
    /// As it is appended at a time.
    pub fn of(plan: &KeyPlan, now_ms: u64) -> Self {
        let of_state =
            |write: &StateWrite| ValueItem { name: write.name.clone(), value: write.value.as_deref().map(value) };
        let status =
            |write: &StatusWrite| PlannedStatus { subject: write.subject.clone(), status: StatusShown::of(write) };
        let event = |planned: &Planned| EmittedShown::of(planned.delivery, None, &planned.event);
        let stays = |stays: &Stays| EmittedShown::of(stays.delivery, Some(stays.at), &stays.event);
        let timer = |(name, set): &(&str, Option<&TimerSetting>)| TimerShown::of(name, *set);
        let late = |(name, setting): &(&str, &TimerSetting)| TimerShown::of(name, Some(setting));
        let TimersAsOf { pending, past } = plan.timers_as_of(now_ms);
        Self {
            key: plan.key.clone(),
            refused: plan.refused.clone(),
            needs_call: plan.needs.as_ref().map(CallShown::unanswered),
            values: Cut::of(plan.state.iter().map(of_state)),
            statuses: Cut::of(plan.status.iter().map(status)),
            unset: Cut::of(plan.unset.iter().cloned()),
            events: Cut::of(plan.emitted.iter().map(event)),
            timers: Cut::of(pending.iter().map(timer)),
            past_timers: Cut::of(past.iter().map(late)),
            stays: Cut::of(plan.stays.iter().map(stays)),
            calls: Cut::of(plan.calls.iter().map(CallShown::unmade)),
            others: Cut::of(plan.others.iter().cloned()),
        }
    }
}
