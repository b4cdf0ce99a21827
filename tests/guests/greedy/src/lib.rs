//! A guest that uses limited resources up to their limits: its events say which, and how much.

use serde::{Deserialize, Serialize};
use weirgate_sdk::{Request, prelude::*};

/// The resources to use, with number or size.
#[derive(Debug, Clone, Default, Serialize, Deserialize, EventType)]
#[event("greedy.act")]
pub struct Act {
    /// Copies of this event to emit.
    #[serde(default)]
    pub copies: usize,
    /// The bytes of padding in each.
    #[serde(default)]
    pub bytes: usize,
    /// State values to write, one byte each.
    #[serde(default)]
    pub writes: usize,
    /// A step with a name that no earlier attempt has used.
    #[serde(default)]
    pub step: bool,
    /// `transient` or `correctable`.
    #[serde(default)]
    pub fail: Option<String>,
    #[serde(default)]
    pub padding: String,
}

/// # Errors
/// As the event requests.
#[handler]
pub fn handle(event: Event<Act>, context: &mut Context) -> Result<(), Failure> {
    let act = &event.data;
    if act.step {
        let url = format!("{}/step", context.config("gateway_url").unwrap_or_default());
        let step = format!("step-{}", context.delivery().attempt);
        context.fetch(&step, Request::get(url))?.ok()?;
    }
    match act.fail.as_deref() {
        Some("correctable") => {
            return Err(Failure::correctable("it cannot be done like this", "`fail` should be null"));
        }
        Some(_) => return Err(Failure::transient("not now")),
        None => {}
    }
    for n in 0..act.writes {
        context.state().set(&format!("n{n}"), &0)?;
    }
    for _ in 0..act.copies {
        context.emit(&Act { padding: "x".repeat(act.bytes), ..act.clone() });
    }
    context.set_status("done", "It has taken what it may");
    Ok(())
}
