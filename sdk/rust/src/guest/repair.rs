//! The component's side of repairs: what `on-corrected` gets, and its call.

use super::{Imports, bindings, imports::types};
use crate::{CallBefore, Context, Failure, LoggedEvent, Repair, ValueBefore};

/// Calls the function once; called by the exported `on-corrected`.
///
/// # Errors
/// The function's failure.
pub fn compensate(
    repair: types::Repair,
    delivery: bindings::Delivery,
    on_corrected: fn(&Repair, &mut Context) -> Result<(), Failure>,
) -> Result<(), bindings::Failure> {
    let mut context = Context::new(Box::new(Imports::ONE), delivery.into());
    let outcome = on_corrected(&repair.into(), &mut context).and_then(|()| context.finish());
    outcome.map_err(Into::into)
}

impl From<types::Repair> for Repair {
    fn from(repair: types::Repair) -> Self {
        Self {
            replay: repair.replay,
            reason: repair.reason,
            emitted_before: repair.emitted_before.into_iter().map(Into::into).collect(),
            emitted_now: repair.emitted_now.into_iter().map(Into::into).collect(),
            calls_before: repair.calls_before.into_iter().map(Into::into).collect(),
            state_before: repair.state_before.into_iter().map(Into::into).collect(),
            truncated: repair.truncated,
        }
    }
}

impl From<types::LoggedEvent> for LoggedEvent {
    fn from(logged: types::LoggedEvent) -> Self {
        let types::LoggedEvent { position, by, key, event } = logged;
        Self { position, by, key, event: event.into() }
    }
}

impl From<types::CallBefore> for CallBefore {
    fn from(call: types::CallBefore) -> Self {
        let types::CallBefore { by, step, method, url, status, body } = call;
        Self { by, step, method, url, status, body }
    }
}

impl From<types::ValueBefore> for ValueBefore {
    fn from(types::ValueBefore { name, value }: types::ValueBefore) -> Self {
        Self { name, value }
    }
}
