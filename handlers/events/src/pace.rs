//! How long the simulated work of a step takes. The wait is a durable timer: it outlives a crash, and no worker is held.

use std::time::Duration;

use weirgate_sdk::{Context, Due, Failure};

/// The name of the timer that a handler starts to wait for its simulated work.
pub const PACE_TIMER: &str = "pace";

/// When the step's simulated work is done, by the setting `pace_ms`; `None` without one, or if it is 0: at once.
///
/// # Errors
/// Transient: the setting is not a number.
pub fn pace(context: &Context) -> Result<Option<Due>, Failure> {
    let Some(text) = context.config("pace_ms") else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(milliseconds) => Ok(Some(Due::after(Duration::from_millis(milliseconds)))),
        Err(_) => Err(Failure::transient(format!("the setting `pace_ms` is no number: {text:?}"))),
    }
}
