//! JSON as Weirgate accepts, stores and shows it: one definition of what is valid, and every value as written.
//! `docs/formats/json.md` is the definition in words.

mod bytes;
mod canonical;
mod node;
mod number;
mod patch;
mod pretty;
mod scan;
mod text;

pub use bytes::JsonBytes;
pub use canonical::canonical;
pub use node::{Member, Node};
pub use number::compare_numbers;
pub use patch::{difference, merge};
pub use pretty::{compact, pretty};
pub use scan::{JsonError, JsonErrorKind, Token, Tokens, check, unquoted};
pub use text::JsonText;

/// Maximum nesting of JSON that is shown: an event's data, and the document around it.
pub const SHOWN_DEPTH_MAX: usize = 128;

/// Maximum nesting of JSON. The same for events, corrections and everything that guests write.
pub const DEPTH_MAX: usize = 64;

/// A text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text as a value, if it is JSON.
///
/// # Errors
/// The problem and its location.
pub fn raw(json: &[u8], depth_max: usize) -> Result<Box<serde_json::value::RawValue>, JsonError> {
    let text = check(json, depth_max)?;
    // Whatever is valid here is valid there: the scanner is stricter.
    let raw = serde_json::value::RawValue::from_string(text.to_owned());
    raw.map_err(|_| JsonError { kind: JsonErrorKind::Expected("a value"), at: 0 })
}

#[cfg(test)]
mod tests;
