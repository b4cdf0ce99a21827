//! What a repair has changed, as `on-corrected` gets it: the data of a `weirgate.key.repaired` in the contract's types.

use weirgate_types::{
    AttemptFailure, CallBefore, Event, FailureClass, FailureKind, KeyRepaired, LoggedEvent, Position, ValueBefore,
};

use super::{bindings::weirgate::handler::types, event::lowered};
use crate::lines;

/// The events that the record appended follow the repair's own event, which is at `position`.
///
/// # Errors
/// The data is not that of a repair, which no retry changes.
pub(crate) fn repair(event: &Event, position: Position) -> Result<types::Repair, AttemptFailure> {
    let repaired = KeyRepaired::from_data(&event.data)
        .map_err(|error| permanent(&format!("the data of {} is not that of a repair: {error}", event.r#type)))?;
    let KeyRepaired { replay, reason, emitted_before, emitted_now, calls_before, state_before, truncated } = repaired;
    Ok(types::Repair {
        replay,
        reason,
        emitted_before: emitted_before.into_iter().map(logged).collect(),
        emitted_now: emitted_now
            .into_iter()
            .zip(1..)
            .map(|(now, offset)| appended(now, position.plus(offset)))
            .collect(),
        calls_before: calls_before.into_iter().map(call_before).collect(),
        state_before: state_before.into_iter().map(value_before).collect(),
        truncated,
    })
}

/// A failure found by the runtime that no retry changes.
pub(crate) fn permanent(message: &str) -> AttemptFailure {
    let found = AttemptFailure::found(FailureKind::Contract, lines::message(message));
    AttemptFailure { class: FailureClass::Permanent, ..found }
}

fn logged(LoggedEvent { position, by, event }: LoggedEvent) -> types::LoggedEvent {
    types::LoggedEvent { position: position.0, by: by.0, key: event.key().to_owned(), event: lowered(&event) }
}

fn appended(logged: LoggedEvent, position: Position) -> types::LoggedEvent {
    self::logged(LoggedEvent { position, ..logged })
}

fn call_before(CallBefore { by, step, method, url, status, body }: CallBefore) -> types::CallBefore {
    types::CallBefore { by: by.0, step, method, url, status, body: body.map(|body| body.0) }
}

fn value_before(ValueBefore { name, value }: ValueBefore) -> types::ValueBefore {
    types::ValueBefore { name, value: value.map(|value| value.0) }
}
