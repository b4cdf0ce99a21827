//! Values of the state and data of events in words, from answers that may have cut them.

use std::borrow::Cow;

use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact, difference};

use super::members::{is_true, number, word};

/// A value before and after, each absent if there is none. Of an object, only the members that differ are shown.
pub fn change(name: &str, before: Option<&Node>, after: Option<&Node>) -> String {
    if let (Some(before), Some(after)) = (before.and_then(whole), after.and_then(whole)) {
        let parsed = [&before, &after].map(|text| Node::parse(text, SHOWN_DEPTH_MAX).ok());
        if let [Some(before), Some(after)] = parsed
            && before.members().is_some()
            && after.members().is_some()
        {
            return format!("{name} changes: {}", changes(&difference(&before, &after)));
        }
    }
    let [before, after] = [before, after].map(|side| side.map_or("nothing".to_owned(), shown));
    format!("{name}: {before} -> {after}")
}

/// Data or a value, on one line.
pub fn shown(value: &Node) -> String {
    let Some(text) = value.get("text").and_then(Node::as_str) else {
        return format!("{} bytes", number(value, "bytes"));
    };
    if is_true(value, "is_cut") {
        return format!("{text}... ({} bytes)", number(value, "bytes"));
    }
    compact(&text, SHOWN_DEPTH_MAX).unwrap_or_else(|_| text.into_owned())
}

/// A patch (RFC 6902) in words.
fn changes(patch: &str) -> String {
    let Ok(patch) = Node::parse(patch, SHOWN_DEPTH_MAX) else { return patch.to_owned() };
    let change = |step: &Node| match step.get("value") {
        Some(value) => {
            let value = compact(value.text(), SHOWN_DEPTH_MAX).unwrap_or_else(|_| value.text().to_owned());
            format!("{} = {value}", word(step, "path"))
        }
        None => format!("{} removed", word(step, "path")),
    };
    patch.items().iter().map(change).collect::<Vec<_>>().join(", ")
}

/// The text of a value, unless it is cut.
fn whole<'a>(value: &Node<'a>) -> Option<Cow<'a, str>> {
    value.get("text").and_then(Node::as_str).filter(|_| !is_true(value, "is_cut"))
}
