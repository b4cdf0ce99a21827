//! Times in JSON stand there twice, for programs (`at_ms`) and as in RFC 3339 (`at`): here one becomes both, or both become
//! the one for people. Touches only members that are named so; data of users inside them stays as it is.

use chrono::{DateTime, SecondsFormat};
use weirgate_types::json::{Node, quoted};

use super::moments;

/// The end of the name of a time in Unix milliseconds.
const MS: &str = "_ms";

/// An object, or a list of objects, with each pair of a time as one for people.
pub fn for_people(node: &Node, now_ms: u64) -> String {
    if node.is_array() {
        let items: Vec<_> = node.items().iter().map(|item| for_people(item, now_ms)).collect();
        return format!("[{}]", items.join(","));
    }
    rewritten(node, |name, value| {
        if node.get(&format!("{name}{MS}")).is_some() {
            return None;
        }
        let base = name.strip_suffix(MS).filter(|base| node.get(base).is_some());
        match (base, value.as_u64()) {
            (Some(base), Some(at_ms)) => Some((base.to_owned(), quoted(&moments::moment(at_ms, now_ms)))),
            _ => Some((name.to_owned(), value.text().to_owned())),
        }
    })
}

/// A status, with the times of its parts also as in RFC 3339.
pub fn of_status(status: &Node) -> String {
    let part = |part: &Node| {
        let delivered = rewritten(part, |name, value| {
            let text = if name == "delivery" { with_twins(value) } else { value.text().to_owned() };
            Some((name.to_owned(), text))
        });
        Node::parse(&delivered, weirgate_types::json::SHOWN_DEPTH_MAX)
            .map_or_else(|_| part.text().to_owned(), |part| with_twins(&part))
    };
    rewritten(status, |name, value| {
        let text = match name {
            "parts" => rewritten(value, |name, value| Some((name.to_owned(), part(value)))),
            _ => value.text().to_owned(),
        };
        Some((name.to_owned(), text))
    })
}

/// An object with a time as in RFC 3339 before each that stands alone.
fn with_twins(object: &Node) -> String {
    let Some(members) = object.members() else { return object.text().to_owned() };
    let mut parts = Vec::new();
    for member in members {
        let base = member.name.strip_suffix(MS).filter(|base| object.get(base).is_none());
        if let (Some(base), Some(at)) = (base, member.value.as_u64().and_then(rfc3339)) {
            parts.push(format!("{}:{}", quoted(base), quoted(&at)));
        }
        parts.push(format!("{}:{}", quoted(&member.name), member.value.text()));
    }
    format!("{{{}}}", parts.join(","))
}

fn rfc3339(at_ms: u64) -> Option<String> {
    let at = DateTime::from_timestamp_millis(i64::try_from(at_ms).ok()?)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// An object with other members; anything else as it is.
fn rewritten(node: &Node, member: impl Fn(&str, &Node) -> Option<(String, String)>) -> String {
    let Some(members) = node.members() else { return node.text().to_owned() };
    let members = members.iter().filter_map(|found| member(&found.name, &found.value));
    let members: Vec<_> = members.map(|(name, text)| format!("{}:{text}", quoted(&name))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use weirgate_types::json::SHOWN_DEPTH_MAX;

    use super::*;

    fn node(json: &str) -> Node<'_> {
        Node::parse(json, SHOWN_DEPTH_MAX).expect("JSON")
    }

    #[test]
    fn a_status_has_its_times_twice_and_data_as_it_was() {
        let status = r#"{"version":7,"parts":{"a":{"at_ms":1790000000123,"state":"s","data":{"at_ms":1},
            "delivery":{"state":"retrying","next_attempt_at_ms":0}},"b_ms":{"at_ms":5,"at":"x"}}}"#;
        let shown = r#"{"version":7,"parts":{"a":{"at":"2026-09-21T14:13:20.123Z","at_ms":1790000000123,"state":"s","data":{"at_ms":1},"delivery":{"state":"retrying","next_attempt_at":"1970-01-01T00:00:00.000Z","next_attempt_at_ms":0}},"b_ms":{"at_ms":5,"at":"x"}}}"#;
        assert_eq!(of_status(&node(status)), shown);
        assert_eq!(of_status(&node("[1]")), "[1]");
    }

    #[test]
    fn people_get_one_time_of_two() {
        let failures = r#"[{"attempt":1,"at":"2026-09-21T14:13:20.000Z","at_ms":1000,"wall_ms":5,"data":{"at":"x","at_ms":1}}, 7]"#;
        let shown = for_people(&node(failures), 61_000);
        let moment = quoted(&moments::moment(1_000, 61_000));
        assert_eq!(shown, format!(r#"[{{"attempt":1,"at":{moment},"wall_ms":5,"data":{{"at":"x","at_ms":1}}}},7]"#));
        assert!(shown.contains("(1m ago)"), "{shown}");
    }
}
