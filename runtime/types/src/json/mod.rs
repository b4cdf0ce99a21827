//! JSON as Weirgate takes it, keeps it and shows it: one definition of what is valid, and every value as it is written.
//! `docs/formats/json.md` is the definition in words.

mod node;
mod patch;
mod pretty;
mod scan;
mod text;

pub use node::{Member, Node};
pub use patch::{difference, merge};
pub use pretty::{compact, pretty};
pub use scan::{JsonError, JsonErrorKind, Token, Tokens, check, unquoted};
pub use text::JsonText;

/// How deep JSON may nest where it is shown: data of an event, and what it is shown in.
pub const SHOWN_DEPTH_MAX: usize = 128;

/// The most levels that JSON may nest. The same for events, corrections and everything that guests write.
pub const DEPTH_MAX: usize = 64;

/// A text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text as a value of its own, where it is JSON.
///
/// # Errors
/// What is wrong with it, and where.
pub fn raw(json: &[u8], depth_max: usize) -> Result<Box<serde_json::value::RawValue>, JsonError> {
    let text = check(json, depth_max)?;
    // What is valid here is valid there; the scanner is the stricter one.
    let raw = serde_json::value::RawValue::from_string(text.to_owned());
    raw.map_err(|_| JsonError { kind: JsonErrorKind::Expected("a value"), at: 0 })
}

#[cfg(test)]
mod tests;
