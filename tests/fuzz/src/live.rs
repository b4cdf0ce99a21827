//! What a browser sends over the WebSocket of `weirgate.v1`: the bytes of frames, and a message.

use weirgate_server::fuzz::{live_messages, live_subjects};

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
    for stream in [bytes.to_vec(), frames(bytes)] {
        let whole = live_messages(&stream, stream.len());
        for size in [1, 7] {
            assert_eq!(live_messages(&stream, size), whole, "in pieces of {size} bytes");
        }
    }
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(MESSAGE_BYTES_MAX)]) else { return };
    match live_subjects(text) {
        Ok(subjects) => {
            let named: usize = subjects.iter().map(String::len).sum();
            assert!(named <= text.len(), "{} bytes name {named} bytes of subjects", text.len());
        }
        Err(error) => check_error(&error),
    }
}

/// Frames of 30 bytes at most: the first of each run of bytes is that of a frame, the others are its payload.
fn frames(bytes: &[u8]) -> Vec<u8> {
    let frame =
        |run: &[u8]| [&run[..1], &[0x80 | u8::try_from(run.len() - 1).unwrap_or(0)], &[0; 4], &run[1..]].concat();
    bytes.chunks(31).flat_map(frame).collect()
}
