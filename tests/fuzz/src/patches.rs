//! A merge patch (RFC 7396) on a JSON document, against a second implementation of the RFC's rules.

use serde_json::{Map, Value};
use weirgate_types::json::{Node, check, difference, merge};

pub const WORDS: &[&str] =
    &["null", "{\"a\":", "{\"b\":null}", "[1,2]", "}", "12345678901234567890123", "1e-400", "-0", "\n", "\"a\":"];

const DEPTH_MAX: usize = 64;

/// A document, a line feed, a patch.
pub fn run(bytes: &[u8]) {
    let Some(line) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (document, patch) = (&bytes[..line], &bytes[line + 1..]);
    let Some(merged) = merged(document, patch) else { return };
    assert!(merged.len() <= document.len() + patch.len(), "{} bytes became {}", bytes.len(), merged.len());
    assert_eq!(self::merged(&merged, patch).as_ref(), Some(&merged), "the patch applied twice is another one");
    check_numbers(&merged, &[document, patch]);
    let [document, patch, merged] = [document, patch, &merged].map(|json| serde_json::from_slice::<Value>(json).ok());
    if let (Some(document), Some(patch)) = (document, patch) {
        assert_eq!(merged, Some(by_rfc(document, patch)));
    }
}

/// The document with the patch applied, as a correction applies it; `None` if one of the two is not JSON.
fn merged(document: &[u8], patch: &[u8]) -> Option<Vec<u8>> {
    let [document, patch] = [check(document, DEPTH_MAX).ok()?, check(patch, DEPTH_MAX).ok()?];
    let [document, patch] = [Node::parse(document, DEPTH_MAX).ok()?, Node::parse(patch, DEPTH_MAX).ok()?];
    let merged = merge(&document, &patch);
    let again = Node::parse(&merged, 2 * DEPTH_MAX).expect("what was merged is JSON");
    let same = difference(&again, &again);
    assert_eq!(same, "[]", "a document differs from itself");
    Some(merged.into_bytes())
}

/// `MergePatch` of RFC 7396, section 2.
fn by_rfc(target: Value, patch: Value) -> Value {
    let Value::Object(changes) = patch else { return patch };
    let mut object = match target {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    for (name, change) in changes {
        match change {
            Value::Null => drop(object.remove(&name)),
            change => {
                let before = object.remove(&name).unwrap_or(Value::Null);
                object.insert(name, by_rfc(before, change));
            }
        }
    }
    Value::Object(object)
}

/// Each number keeps the spelling of its source.
fn check_numbers(merged: &[u8], sources: &[&[u8]]) {
    let known: Vec<_> = sources.iter().flat_map(|source| numbers(source)).collect();
    for number in numbers(merged) {
        assert!(known.contains(&number), "{} is nowhere", String::from_utf8_lossy(number));
    }
}

/// The byte runs outside of strings that numbers consist of.
fn numbers(json: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut start, mut in_string, mut is_escaped) = (Vec::new(), None, false, false);
    for (at, byte) in json.iter().enumerate() {
        let is_part = !in_string && (byte.is_ascii_digit() || b"+-.eE".contains(byte));
        match (start, is_part) {
            (None, true) if byte.is_ascii_digit() || *byte == b'-' => start = Some(at),
            (Some(first), false) => {
                found.push(&json[first..at]);
                start = None;
            }
            _ => {}
        }
        (in_string, is_escaped) = match (in_string, byte) {
            (true, _) if is_escaped => (true, false),
            (true, b'\\') => (true, true),
            (quoted, b'"') => (!quoted, false),
            (quoted, _) => (quoted, false),
        };
    }
    found.extend(start.map(|first| &json[first..]));
    found
}
