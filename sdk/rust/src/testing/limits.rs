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
pub const JSON_DEPTH_MAX: usize = 64;

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

/// What stands for an attribute of an event: not empty, not long, no control characters.
pub fn check_attribute(what: &str, value: &str, bytes_max: usize) {
    check_name(what, value, bytes_max);
    if value.chars().any(char::is_control) {
        end(format!("{what} holds a control character"));
    }
}

/// The content type of an emitted event; an empty one counts as none.
pub fn check_content_type(content_type: &str) {
    let what = "an emitted event: attribute `datacontenttype`";
    let bytes = content_type.len();
    if bytes > ATTRIBUTE_BYTES_MAX {
        end(format!("{what} is {bytes} bytes long; at most {ATTRIBUTE_BYTES_MAX} are taken"));
    }
    if content_type.chars().any(char::is_control) {
        end(format!("{what} holds a control character"));
    }
}

/// What is wrong with a text that should be JSON.
pub enum NotJson {
    TooDeep,
    Invalid(serde_json::Error),
}

pub fn check_json(json: &[u8]) -> Result<(), NotJson> {
    if json_depth(json) > JSON_DEPTH_MAX {
        return Err(NotJson::TooDeep);
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(json).map(drop).map_err(NotJson::Invalid)
}

/// How deep arrays and objects nest: brackets that are open at once, those in strings left out.
fn json_depth(json: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Past the closing quote.
fn skip_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// A log line as it is kept: a long one ends in `…`.
pub fn cut(line: &str) -> String {
    if line.len() <= LOG_LINE_BYTES_MAX {
        return line.to_owned();
    }
    let kept = line.floor_char_boundary(LOG_LINE_BYTES_MAX - '…'.len_utf8());
    format!("{}…", line.get(..kept).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_does_not_count_brackets_in_strings() {
        for (json, depth) in [("1", 0), ("[]", 1), (r#"{"a":["[[[","\"[["],"b":[]}"#, 2), ("[[],[[]]]", 3), ("]][", 1)]
        {
            assert_eq!(json_depth(json.as_bytes()), depth, "{json}");
        }
    }
}
