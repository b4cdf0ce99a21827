//! A message that a browser sends over the WebSocket of `weirgate.v1`.

use weirgate_server::fuzz::live_subjects;

use crate::check_error;

pub const WORDS: &[&str] = &[
    "{\"type\":\"subscribe\",\"subjects\":[",
    "{\"type\":\"unsubscribe\",\"subjects\":[",
    "{\"subject\":\"order/o-1\"}",
    "\"epoch\":\"",
    "\"version\":18446744073709551615",
    "\"version\":-1",
    "\"version\":1.5",
    "null",
    "]}",
    "\\ud800",
    "\\u0000",
];

/// Maximum length of a message that the server reads, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(MESSAGE_BYTES_MAX)]) else { return };
    match live_subjects(text) {
        Ok(subjects) => {
            let named: usize = subjects.iter().map(String::len).sum();
            assert!(named <= text.len(), "{} bytes name {named} bytes of subjects", text.len());
        }
        Err(error) => check_error(&error),
    }
}
