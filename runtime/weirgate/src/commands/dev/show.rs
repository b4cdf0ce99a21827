//! The lines of `weirgate dev`: a word for the kind, then what happened. Readable without colour and without a terminal.

use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact};

use crate::output;

/// A kind of line, and its text.
pub type Line = (&'static str, String);

const FAILURE_NOTICES: [&str; 3] =
    ["weirgate.delivery.failed", "weirgate.delivery.awaiting-correction", "weirgate.delivery.dead-lettered"];
/// Maximum number of characters of an event's data in a line.
const DATA_CHARS_MAX: usize = 200;

/// Prints a line. If it cannot be printed, what is built and deployed matters still; when its reader has gone, `dev` ends.
pub fn line(kind: &str, text: &str) {
    let _ = output::line(&format!("{kind:8}  {text}"));
}

/// An item of the list of events.
pub fn event(item: &Node) -> Vec<Line> {
    let Some(event) = item.get("event") else { return Vec::new() };
    if is_told_by_attempt(event) {
        return Vec::new();
    }
    let key = match word(event, "partitionkey") {
        empty if empty.is_empty() => word(event, "subject"),
        key => key,
    };
    let data = event.get("data").and_then(|data| compact(data.text(), SHOWN_DEPTH_MAX).ok()).unwrap_or_default();
    vec![("event", format!("{} {} {key} {}", number(item, "position"), word(event, "type"), shortened(&data)))]
}

/// Whether an event is the runtime's notice of a failed attempt, which is shown itself. An operator's decision has an actor.
fn is_told_by_attempt(event: &Node) -> bool {
    let is_failure = FAILURE_NOTICES.contains(&word(event, "type").as_str());
    is_failure && event.get("data").is_none_or(|data| data.get("actor").is_none())
}

/// An item of the list of attempts.
pub fn attempt(item: &Node) -> Vec<Line> {
    let (delivery, key) = (word(item, "delivery"), word(item, "key"));
    let mut lines = Vec::new();
    for log in item.get("log").map(Node::items).unwrap_or_default() {
        lines.push(("log", format!("{delivery} {} {}", word(log, "level"), word(log, "message"))));
    }
    let mut told = format!("{delivery} {key} #{} {}", number(item, "attempt"), word(item, "outcome"));
    if let Some(failure) = item.get("failure") {
        told = format!("{told}: {} ({})", word(failure, "message"), word(failure, "class"));
        let what_is_wrong = word(failure, "what_is_wrong");
        if !what_is_wrong.is_empty() {
            told = format!("{told}: {what_is_wrong}");
        }
    }
    lines.push(("attempt", told));
    for status in item.get("statuses").map(Node::items).unwrap_or_default() {
        lines.push((
            "status",
            format!("{} {}: {}", word(status, "subject"), word(status, "state"), word(status, "text")),
        ));
    }
    lines
}

fn word(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().into_owned()
}

fn number<'a>(node: &Node<'a>, name: &str) -> &'a str {
    node.get(name).map_or("?", Node::text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DATA_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(json: &str) -> Node<'_> {
        Node::parse(json, SHOWN_DEPTH_MAX).expect("JSON")
    }

    #[test]
    fn an_event_is_a_line() {
        let plain = r#"{"position":7,"event":{"type":"a.b","subject":"s","data":{ "n": 1 }}}"#;
        assert_eq!(event(&node(plain)), [("event", "7 a.b s {\"n\":1}".to_owned())]);
        let long = format!(
            r#"{{"position":8,"event":{{"type":"a","subject":"s","partitionkey":"k","data":"{}"}}}}"#,
            "x".repeat(900)
        );
        let lines = event(&node(&long));
        assert!(
            lines[0].1.starts_with("8 a k \"xxx") && lines[0].1.ends_with("x...") && lines[0].1.len() < 250,
            "{lines:?}"
        );
        assert!(event(&node("{}")).is_empty());
        for (more, lines) in [("", 0), (r#","actor":"ada""#, 1)] {
            let dead = format!(
                r#"{{"position":9,"event":{{"type":"weirgate.delivery.dead-lettered","subject":"s","data":{{"delivery":"h@7"{more}}}}}}}"#
            );
            assert_eq!(event(&node(&dead)).len(), lines, "{dead}");
        }
    }

    #[test]
    fn an_attempt_is_told_with_what_it_left() {
        let completed = r#"{"delivery":"h@7","key":"k","attempt":1,"outcome":"completed",
            "log":[{"level":"info","message":"m"}],"statuses":[{"subject":"k","state":"s","text":"t"}]}"#;
        let lines = [("log", "h@7 info m"), ("attempt", "h@7 k #1 completed"), ("status", "k s: t")];
        assert_eq!(attempt(&node(completed)), lines.map(|(kind, text)| (kind, text.to_owned())));
        let failed = r#"{"delivery":"h@7","key":"k","attempt":2,"outcome":"awaiting-correction",
            "failure":{"class":"correctable","message":"no","what_is_wrong":"all of it"}}"#;
        let told = "h@7 k #2 awaiting-correction: no (correctable): all of it";
        assert_eq!(attempt(&node(failed)), [("attempt", told.to_owned())]);
    }
}
