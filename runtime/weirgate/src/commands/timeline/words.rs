//! What an entry of a timeline says in words.

use weirgate_types::json::Node;

use super::story::since;
use crate::commands::{
    members::{is_true, items, number, word},
    values::{self, shown},
};

/// An entry: a mark, a line, and lines that belong to it.
pub struct Told {
    pub mark: char,
    pub text: String,
    pub details: Vec<String>,
}

/// Delivery and attempt.
pub type Attempt = (String, u64);

/// The attempt that begins with an entry.
pub fn began(entry: &Node) -> Option<Attempt> {
    (word(entry, "kind") == "attempt-began").then(|| attempt(entry))
}

/// The attempt that made an outbound call.
pub fn stepped(entry: &Node) -> Option<Attempt> {
    (word(entry, "kind") == "step").then(|| attempt(entry))
}

/// The attempt that ends with an entry.
pub fn ended(entry: &Node) -> Option<Attempt> {
    (word(entry, "kind") == "attempt-ended").then(|| attempt(entry))
}

fn attempt(entry: &Node) -> Attempt {
    (word(entry, "delivery"), number(entry, "attempt"))
}

/// An entry in words. `took_ms`: how long the attempt took that ended.
pub fn told(entry: &Node, took_ms: Option<u64>, started_ms: u64) -> Told {
    let (mark, text, details) = match word(entry, "kind").as_str() {
        "event" => event(entry),
        "attempt-began" => {
            let text = format!("{} begins, attempt {}", word(entry, "delivery"), number(entry, "attempt"));
            ('>', text, Vec::new())
        }
        "attempt-ended" => attempt_ended(entry, took_ms, started_ms),
        "step" => ('~', step(entry), Vec::new()),
        "timer-fired" => {
            let text = format!(
                "{} #{}: timer {} of {}",
                word(entry, "type"),
                position(entry),
                word(entry, "name"),
                word(entry, "handler")
            );
            ('@', text, data(entry))
        }
        "decision" => decision(entry),
        "released" => ('=', format!("{}: emissions are released", word(entry, "delivery")), emitted(entry)),
        "gap-passed" => {
            let numbers = (number(entry, "expected"), number(entry, "found"));
            let text = format!(
                "{}: number {} has not come in time; {} is next",
                word(entry, "delivery"),
                numbers.0,
                numbers.1
            );
            ('!', text, Vec::new())
        }
        "correction-refused" => {
            let text =
                format!("correction #{} of {} is not applied", number(entry, "correction"), word(entry, "delivery"));
            ('!', text, vec![word(entry, "reason")])
        }
        "repaired" => repaired(entry, started_ms),
        "replay" => replay(entry),
        "deployed" => {
            let digest = word(entry, "digest").trim_start_matches("sha256:").chars().take(12).collect::<String>();
            let version = format!("{} has version #{} ({digest})", word(entry, "handler"), position(entry));
            ('^', format!("{version}, by {}", by(entry)), Vec::new())
        }
        "mode-changed" => {
            ('^', format!("{} is {}, by {}", word(entry, "handler"), word(entry, "mode"), by(entry)), Vec::new())
        }
        "breaker-changed" => {
            let is_open = is_true(entry, "is_open");
            let state = if is_open { "opens" } else { "closes" };
            ('^', format!("breaker {} {state}, by {}", word(entry, "breaker"), by(entry)), Vec::new())
        }
        kind => ('-', kind.to_owned(), Vec::new()),
    };
    Told { mark, text, details }
}

fn event(entry: &Node) -> (char, String, Vec<String>) {
    let from = match word(entry, "emitted_by") {
        delivery if delivery.is_empty() => format!("{} from {}", word(entry, "id"), word(entry, "source")),
        delivery => format!("emitted by {delivery}"),
    };
    let to = word(entry, "to");
    let to = if to.is_empty() { to } else { format!(", for {to} only") };
    ('*', format!("{} #{}  {from}{to}", word(entry, "type"), position(entry)), data(entry))
}

fn attempt_ended(entry: &Node, took_ms: Option<u64>, started_ms: u64) -> (char, String, Vec<String>) {
    let took = took_ms.map(|ms| format!(" in {ms}ms")).unwrap_or_default();
    let (mark, outcome) = match word(entry, "outcome").as_str() {
        "completed" => ('=', format!("completed{took}")),
        "withheld" => ('=', format!("completed{took}; its emissions wait for earlier deliveries")),
        "retry" => {
            let due_ms = number(entry, "next_attempt_at_ms").saturating_sub(started_ms);
            ('x', format!("failed{took}, next attempt at {}", since(due_ms)))
        }
        "awaiting-correction" => ('?', format!("failed{took}, waits for a correction")),
        "dead-lettered" => ('#', format!("failed{took}, is a dead letter")),
        other => ('=', other.to_owned()),
    };
    let text = format!("{} attempt {} {outcome}", word(entry, "delivery"), number(entry, "attempt"));
    let mut details = Vec::new();
    if entry.get("migrated_from").is_some() {
        details.push(format!("migrates the state of version {}", number(entry, "migrated_from")));
    }
    if let Some(failure) = entry.get("failure") {
        details.push(format!("{} ({}, {})", word(failure, "message"), word(failure, "class"), word(failure, "kind")));
        let what_is_wrong = Some(word(failure, "what_is_wrong")).filter(|what| !what.is_empty());
        details.extend(what_is_wrong.map(|what| format!("what is wrong: {what}")));
    }
    details.extend(
        items(entry, "log").iter().map(|line| format!("log {}: {}", word(line, "level"), word(line, "message"))),
    );
    details.extend(effects(entry, started_ms));
    (mark, text, details)
}

fn effects(entry: &Node, started_ms: u64) -> Vec<String> {
    let mut lines: Vec<_> = items(entry, "state").iter().map(state).collect();
    lines.extend(items(entry, "statuses").iter().map(|status| {
        format!("status {}: {}: {}", word(status, "subject"), word(status, "state"), word(status, "text"))
    }));
    lines.extend(emitted(entry));
    lines.extend(items(entry, "timers").iter().map(|timer| match timer.get("due_at_ms").and_then(Node::as_u64) {
        Some(due_ms) => format!("timer {} due at {}", word(timer, "name"), since(due_ms.saturating_sub(started_ms))),
        None => format!("timer {} cancelled", word(timer, "name")),
    }));
    lines
}

fn repaired(entry: &Node, started_ms: u64) -> (char, String, Vec<String>) {
    let is = |name| entry.get(name).is_some_and(|value| value.text() == "true");
    let what = if is("is_undo") { "the repair is undone" } else { "repaired" };
    let text = format!(
        "{}: {what} by replay {}, from #{} on, by {}",
        word(entry, "handler"),
        number(entry, "replay"),
        number(entry, "from"),
        by(entry)
    );
    let mut details = effects(entry, started_ms);
    details.extend(
        items(entry, "unset").iter().filter_map(Node::as_str).map(|subject| format!("status {subject}: removed")),
    );
    if is("has_event") {
        details.push("the handler gets an event, to compensate what cannot be taken back".to_owned());
    }
    ('&', text, details)
}

fn replay(entry: &Node) -> (char, String, Vec<String>) {
    let step = match word(entry, "step").as_str() {
        "undo-requested" => ": its undo is asked for".to_owned(),
        "undo-cancelled" => ": its undo is cancelled".to_owned(),
        "undo-approved" => ": its undo is approved".to_owned(),
        "apply-begun" => " begins to be applied".to_owned(),
        "undo-begun" => " begins to be undone".to_owned(),
        "applied" => format!(" is applied, {} keys", number(entry, "repaired")),
        "undone" => format!(" is undone, {} keys", number(entry, "repaired")),
        "ended-in-part" => format!(" has ended in part, {} keys", number(entry, "repaired")),
        step => format!(" is {step}"),
    };
    let text = format!("replay {} of {}{step}, by {}", number(entry, "replay"), word(entry, "handler"), by(entry));
    ('^', text, Vec::new())
}

fn state(change: &Node) -> String {
    values::change(&format!("state {}", word(change, "name")), change.get("before"), change.get("after"))
}

fn step(entry: &Node) -> String {
    let answer = match entry.get("status") {
        Some(status) => status.text().to_owned(),
        None => word(entry, "error"),
    };
    let call = format!("{} {}", word(entry, "method"), word(entry, "url"));
    format!("{} step {}: {call}: {answer}", word(entry, "delivery"), word(entry, "step"))
}

fn decision(entry: &Node) -> (char, String, Vec<String>) {
    let command = match word(entry, "command").as_str() {
        "retry" => "is retried",
        "correct" => "is corrected",
        "skip" => "is skipped",
        "resolve" => "is resolved",
        "discard" => "is discarded",
        "dead-letter" => "is given up",
        _ => "is decided",
    };
    let mut details = data(entry);
    if entry.get("correction").is_some() {
        details.push(format!("by the event #{}", number(entry, "correction")));
    }
    details.extend(emitted(entry));
    ('!', format!("{} {command}, by {}", word(entry, "delivery"), by(entry)), details)
}

/// The actor, and the reason if there is one.
fn by(entry: &Node) -> String {
    match word(entry, "reason") {
        reason if reason.is_empty() => word(entry, "actor"),
        reason => format!("{}: {reason}", word(entry, "actor")),
    }
}

fn emitted(entry: &Node) -> Vec<String> {
    let item = |item: &Node| match item.get("position") {
        Some(position) => format!("emits {} #{} for {}", word(item, "type"), position.text(), word(item, "key")),
        None => format!("emits {} for {}, later", word(item, "type"), word(item, "key")),
    };
    items(entry, "emitted").iter().map(item).collect()
}

fn data(entry: &Node) -> Vec<String> {
    let data = entry.get("data").filter(|data| number(data, "bytes") > 0);
    data.map(shown).into_iter().collect()
}

fn position(entry: &Node) -> u64 {
    number(entry, "position")
}
