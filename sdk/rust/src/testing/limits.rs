//! The contract's default limits, and the messages when one is exceeded: the same as the runtime's, so that tests and
//! operators read the same text.

use std::panic::{self, AssertUnwindSafe};

use super::{
    characters::{not_in_attributes, not_in_keys},
    json::{self, JsonError, JsonErrorKind},
    media_type::MediaType,
};
use crate::event::is_json;

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
pub const TIMER_NAME_BYTES_MAX: usize = 256;
pub const TIMERS_MAX: usize = 64;
pub const TIMER_DAYS_MAX: u64 = 3_650;
/// Prefix of the types of the runtime's own events.
pub const RESERVED_TYPE: &str = "weirgate.";
pub const EFFECTS_BYTES_MAX: usize = 256 * 1024;
pub const EMITTED_EVENTS_MAX: usize = 64;
pub const HOST_CALLS_MAX: usize = 256;
pub const OUTBOUND_CALLS_MAX: usize = 32;
pub const STEP_NAME_BYTES_MAX: usize = 256;
pub const LOG_LINES_MAX: usize = 100;
pub const LOG_LINE_BYTES_MAX: usize = 1024;
pub const JSON_DEPTH_MAX: usize = 64;

/// The payload that unwinds out of a handler whose call is ended.
struct Ended(String);

/// Leaves the handler at once, like the runtime: it cannot catch or answer this.
pub fn end(reason: String) -> ! {
    panic::resume_unwind(Box::new(Ended(reason)))
}

/// The result of the work, or the limit that ended it.
///
/// # Panics
/// With the work's own panic.
pub fn catch_end<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match panic.downcast::<Ended>() {
        Ok(ended) => ended.0,
        Err(panic) => panic::resume_unwind(panic),
    })
}

/// `limit` is the manifest's name of it, or `fixed`.
pub fn at_most(what: &str, found: usize, max: usize, limit: &str) {
    if found > max {
        end(format!("too many {what}: at most {max} ({limit})"));
    }
}

/// Checks a text of 1 to `bytes_max` bytes.
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

/// Checks an event's attribute or a key: not empty, not too long, without characters that may not be in keys.
pub fn check_attribute(what: &str, value: &str, bytes_max: usize) {
    check_name(what, value, bytes_max);
    if let Some(problem) = not_in_keys(value) {
        end(format!("{what} {problem}"));
    }
}

/// Checks the type, content type and data of an event of the call; `what` names the event.
pub fn check_event(what: &str, r#type: &str, content_type: Option<&str>, data: &[u8]) {
    check_name(&format!("{what}'s type"), r#type, EVENT_TYPE_BYTES_MAX);
    if r#type.starts_with(RESERVED_TYPE) {
        end(format!("{what}'s type begins with `{RESERVED_TYPE}`, which only the runtime's own do"));
    }
    if let Some(content_type) = content_type {
        check_content_type(what, content_type);
    }
    at_most(&format!("bytes in {what}"), data.len(), EVENT_BYTES_MAX, "fixed");
    if !is_json(content_type) || data.is_empty() {
        return;
    }
    let what = format!("{what}: the event's data is");
    match check_json(data) {
        Ok(()) => {}
        Err(JsonError { kind: JsonErrorKind::TooDeep { max }, .. }) => {
            end(format!("{what} nested more than {max} levels deep"))
        }
        Err(error) => end(format!("{what} not valid JSON, which its content type says it is: {error}")),
    }
}

/// An empty content type counts as absent.
fn check_content_type(what: &str, content_type: &str) {
    let what = format!("{what}: attribute `datacontenttype`");
    let bytes = content_type.len();
    if bytes > ATTRIBUTE_BYTES_MAX {
        end(format!("{what} is {bytes} bytes long; at most {ATTRIBUTE_BYTES_MAX} are taken"));
    }
    if let Some(problem) = not_in_attributes(content_type) {
        end(format!("{what} {problem}"));
    }
    if !content_type.is_empty() && MediaType::parse(content_type).is_none() {
        end(format!("{what} is {content_type:?}, which is no media type such as application/json"));
    }
}

/// The runtime's own definition of JSON, by the runtime's own code.
pub fn check_json(json: &[u8]) -> Result<(), JsonError> {
    json::check(json, JSON_DEPTH_MAX).map(drop)
}

/// A log line as stored: a long one ends in `…`.
pub fn cut(line: &str) -> String {
    if line.len() <= LOG_LINE_BYTES_MAX {
        return line.to_owned();
    }
    let kept = line.floor_char_boundary(LOG_LINE_BYTES_MAX - '…'.len_utf8());
    format!("{}…", line.get(..kept).unwrap_or_default())
}
