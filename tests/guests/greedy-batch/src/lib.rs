//! A batch guest whose deliveries each write as much state as their event requests.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// Number of bytes of state to write, in values of 48 KiB, and number of bytes of log lines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, EventType)]
#[event("greedy.fill")]
pub struct Fill {
    pub bytes: usize,
    #[serde(default)]
    pub log_bytes: usize,
}

const VALUE_BYTES: usize = 48 << 10;

/// # Errors
/// None.
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
