//! The contract's default limits, and what is said when one is met: in the words of the runtime, so that a test and an
//! operator read the same.

use std::panic;

pub const STATE_NAME_BYTES_MAX: usize = 256;
pub const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;
pub const STATE_LISTED_MAX: usize = 1_000;
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// For subjects, keys and content types.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
pub const STATUS_STATE_BYTES_MAX: usize = 64;
pub const STATUS_TEXT_BYTES_MAX: usize = 1024;
pub const STATUS_DATA_BYTES_MAX: usize = 16 * 1024;
pub const EFFECTS_BYTES_MAX: usize = 256 * 1024;
pub const EMITTED_EVENTS_MAX: usize = 64;
pub const HOST_CALLS_MAX: usize = 256;
pub const LOG_LINES_MAX: usize = 100;
pub const LOG_LINE_BYTES_MAX: usize = 1024;

/// What unwinds out of a handler whose call is ended.
pub struct Ended(pub String);

/// As the runtime does, leave the handler at once: it cannot catch or answer this.
pub fn end(reason: String) -> ! {
    panic::resume_unwind(Box::new(Ended(reason)))
}

/// `limit` is the manifest's name of it, or `fixed`.
pub fn at_most(what: &str, found: usize, max: usize, limit: &str) {
    if found > max {
        end(format!("too many {what}: at most {max} ({limit})"));
    }
}

/// A text of 1 to `bytes_max` bytes.
pub fn check_name(what: &str, name: &str, bytes_max: usize) {
    if name.is_empty() {
        end(format!("{what} is empty"));
    }
    check_length(what, name.len(), bytes_max);
}

pub fn check_length(what: &str, bytes: usize, bytes_max: usize) {
    if bytes > bytes_max {
        end(format!("{what} is {bytes} bytes long; at most {bytes_max} are allowed"));
    }
}

/// What stands for an attribute of an event.
pub fn check_attribute(what: &str, value: &str) {
    check_length(what, value.len(), ATTRIBUTE_BYTES_MAX);
    if value.chars().any(char::is_control) {
        end(format!("{what} holds a control character"));
    }
}

pub fn check_json(what: &str, json: &[u8]) {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(json) {
        end(format!("{what} is not JSON: {error}"));
    }
}
