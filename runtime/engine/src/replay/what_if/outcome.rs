//! What a delivery came to in the fork, noted. Pure.

use weirgate_host::CallError;
use weirgate_types::{Effects, StepRequest};

use super::{
    calls::UnansweredCall,
    delivered::{Delivered, Ran},
    notes::{Examined, Fails, OutcomeChange},
    request::Closed,
};

/// Notes what a delivery came to; returns its effects in the fork.
pub fn note(examined: &mut Examined, delivered: &Delivered<'_>, ran: Ran) -> Effects {
    let event = delivered.delivery.position;
    let Ran { repeated, calls, state_version } = ran;
    examined.state_version = Some(state_version).filter(|_| repeated.result.is_ok()).or(examined.state_version);
    let notes = &mut examined.notes;
    notes.begin(event);
    notes.executed += 1;
    notes.caused_by = notes.caused_by.take().or_else(|| delivered.cause.clone());
    let unanswered = calls.unanswered();
    let lacks = lacking(&repeated.result, unanswered.last());
    for call in unanswered {
        notes.unanswered.push((event, call));
    }
    notes.late_steps.extend(calls.late());
    calls.made().into_iter().for_each(|call| notes.made.push((event, call)));
    let (result, closed) = (repeated.result.map_err(|error| error.to_string()), delivered.closed());
    // Whatever it made of a call without a final answer, it may make something else of it at the next try.
    let failed = calls.failed();
    let is_open = failed.as_ref().is_some_and(|failed| failed.is_open);
    let result = failed.map_or(result, |failed| Err(failed.reason));
    if result.is_ok() && closed != Some(Closed::DeadLettered) {
        calls.not_made().into_iter().for_each(|call| notes.not_made.push((event, call)));
    }
    match (result, closed) {
        // A dead letter is history until an operator opens it again; so what it would do is not part of the fork.
        (Ok(_), Some(Closed::DeadLettered)) => {
            notes.outcomes.push(OutcomeChange { event, recorded: closed, fork: None });
            Effects::default()
        }
        (Ok(effects), _) => effects,
        (Err(_), Some(Closed::DeadLettered)) => Effects::default(),
        (Err(reason), _) => {
            let may_be_made = |call: &UnansweredCall| delivered.may_call.may(&call.request.method);
            let reason = lacks.as_ref().map_or(reason, |call| without_answer(call, may_be_made(call)));
            let needs = lacks.filter(may_be_made);
            let fork = Some(reason.clone());
            notes.outcomes.push(OutcomeChange { event, recorded: closed, fork });
            notes.fails.get_or_insert(Fails { event, reason, needs, is_open, behind: None });
            Effects::default()
        }
    }
}

/// The call that a delivery ended at, because the log holds no answer for it.
fn lacking(result: &Result<Effects, CallError>, last: Option<&UnansweredCall>) -> Option<UnansweredCall> {
    let Err(CallError::Unrecorded(step)) = result else { return None };
    last.filter(|call| call.step == *step).cloned()
}

fn without_answer(UnansweredCall { step, request }: &UnansweredCall, may_be_made: bool) -> String {
    let StepRequest { method, url, .. } = request;
    let made = if may_be_made { "; an application that may make calls makes it" } else { "" };
    format!("the log has no answer for {method} {url} (step `{step}`){made}")
}
