//! A batch guest whose every delivery writes as much state as its event says.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// How many bytes of state it writes, in values of 48 KiB, and how many bytes of log lines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, EventType)]
#[event("greedy.fill")]
pub struct Fill {
    pub bytes: usize,
    #[serde(default)]
    pub log_bytes: usize,
}

const VALUE_BYTES: usize = 48 << 10;

/// # Errors
/// None of its own.
#[batch_handler]
pub fn handle(items: &mut [Item<Fill>]) -> Result<(), Failure> {
    for item in items {
        let Fill { bytes, log_bytes } = item.event.data;
        for (n, from) in (0..bytes).step_by(VALUE_BYTES).enumerate() {
            item.context.state().set(&format!("v{n}"), &"x".repeat((bytes - from).min(VALUE_BYTES)))?;
        }
        for _ in 0..log_bytes / 1_024 {
            item.context.info("y".repeat(1_024));
        }
        item.context.set_status("filled", format!("{bytes} bytes"));
    }
    Ok(())
}
