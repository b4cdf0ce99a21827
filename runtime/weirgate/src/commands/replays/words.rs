//! Differences and plans in words: a mark for what comes, goes or changes, and a line. Pure functions of the answers; readable without
//! colour.

use weirgate_types::json::Node;

use crate::commands::{
    members::{is_true, items, number, word},
    table,
    values::{change, shown},
};

/// A line with its mark: `+` is new, `-` is missing, `~` is another, `!` cannot be changed or needs a look, a space says where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    pub mark: char,
    pub text: String,
}

fn marked(mark: char, text: String) -> Marked {
    Marked { mark, text }
}

/// A subject's last status on both sides.
pub fn status(item: &Node) -> Marked {
    change_of_status(item, "none")
}

/// `absent` says that a side has no status, or set none.
fn change_of_status(item: &Node, absent: &str) -> Marked {
    let [recorded, fork] = ["recorded", "fork"].map(|side| item.get(side));
    let mark = match (recorded, fork) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    let is_removed = is_true(item, "is_removed");
    let [before, after] =
        [(recorded, is_removed), (fork, false)].map(|(status, is_removed)| side(status, is_removed, absent));
    let subject = word(item, "subject");
    let data = |side: &Node<'_>| side.get("data").map(Node::text).map(str::to_owned);
    match (recorded, fork) {
        // What is set is the same, and the key may set it no more.
        (Some(recorded), Some(fork)) if before == after && data(recorded) == data(fork) => {
            marked(mark, format!("{subject}: {before}, by another key"))
        }
        (Some(recorded), Some(fork)) if before == after => {
            marked(mark, format!("{subject}: {before}, {}", change("data", recorded.get("data"), fork.get("data"))))
        }
        _ => marked(mark, format!("{subject}: {before} -> {after}")),
    }
}

/// The status of one side.
fn side(status: Option<&Node>, is_removed: bool, absent: &str) -> String {
    match status {
        Some(status) => format!("{} ({})", word(status, "state"), word(status, "text")),
        None if is_removed => "removed".to_owned(),
        None => absent.to_owned(),
    }
}

/// What differs for a handler and key.
pub fn differences(lane: &Node) -> Vec<Marked> {
    let mut lines = Vec::new();
    if let Some(fails) = lane.get("fails") {
        lines
            .push(marked('!', format!("the delivery of #{} fails: {}", number(fails, "event"), word(fails, "reason"))));
    }
    if let Some(cause) = lane.get("caused_by") {
        lines.push(marked('!', format!("because of {} at {}", word(cause, "key"), word(cause, "handler"))));
    }
    for (name, mark, what) in [("opened", '+', "is delivered"), ("dropped", '-', "is not delivered")] {
        let positions = list(lane, name);
        lines.extend(positions.iter().map(|event| marked(mark, format!("#{} {what}", event.text()))));
        lines.extend(more(lane, name, "deliveries"));
    }
    lines.extend(list(lane, "outcomes").iter().map(outcome));
    lines.extend(more(lane, "outcomes", "outcomes"));
    lines.extend(list(lane, "path").iter().map(|step| {
        let Marked { mark, text } = change_of_status(step, "not set");
        marked(mark, format!("#{} {text}", number(step, "event")))
    }));
    lines.extend(more(lane, "path", "statuses"));
    // What stands or is returned as it was recorded has no path.
    let is_on_path = |subject: &str| list(lane, "path").iter().any(|step| word(step, "subject") == subject);
    let beside = list(lane, "statuses").iter().filter(|item| !is_on_path(&word(item, "subject")));
    lines.extend(beside.map(status));
    lines.extend(more(lane, "statuses", "subjects"));
    let of_state = |value: &Node| {
        let name = format!("state {}", word(value, "name"));
        marked('~', change(&name, value.get("recorded"), value.get("fork")))
    };
    lines.extend(list(lane, "values").iter().map(of_state));
    lines.extend(more(lane, "values", "values of the state"));
    lines.extend(events(lane));
    lines.extend(list(lane, "timers").iter().map(timer));
    lines.extend(more(lane, "timers", "timers"));
    for (name, mark, what) in [
        ("unanswered_calls", '!', "has no recorded answer"),
        ("unmade_calls", '-', "is not made"),
        ("made_calls", '+', "was made by the replay"),
    ] {
        let call = |call: &Node| marked(mark, format!("{} {what}", called(call)));
        lines.extend(list(lane, name).iter().map(call));
        lines.extend(more(lane, name, "calls"));
    }
    lines
}

fn outcome(change: &Node) -> Marked {
    let fork = match word(change, "fork") {
        completes if completes.is_empty() => "completes".to_owned(),
        failure => format!("fails: {failure}"),
    };
    let recorded = match word(change, "recorded") {
        absent if absent.is_empty() => "not delivered".to_owned(),
        recorded => recorded,
    };
    marked('~', format!("#{} {recorded}: {fork}", number(change, "event")))
}

/// Emitted events: missing, new, and those in place of which others were emitted.
fn events(lane: &Node) -> Vec<Marked> {
    let mut lines = Vec::new();
    for (name, mark) in [("events_removed", '-'), ("events_added", '+')] {
        lines.extend(list(lane, name).iter().map(|event| marked(mark, emitted(event))));
        lines.extend(more(lane, name, "events"));
    }
    for pair in list(lane, "events_changed") {
        let Some((recorded, fork)) = pair.get("recorded").zip(pair.get("fork")) else { continue };
        let [before, after] = [recorded, fork].map(|event| event.get("data"));
        let data = (before.map(shown) != after.map(shown)).then(|| change("data", before, after));
        let changes = ATTRIBUTES.iter().filter_map(|name| changed(name, recorded, fork)).chain(data);
        lines.push(marked('~', format!("{}, {}", named(fork), changes.collect::<Vec<_>>().join(", "))));
    }
    lines.extend(more(lane, "events_changed", "changed events"));
    lines
}

/// What may differ of an event besides its data.
const ATTRIBUTES: [&str; 3] = ["subject", "datacontenttype", "dataschema"];

fn changed(name: &str, recorded: &Node, fork: &Node) -> Option<String> {
    let [before, after] = [recorded, fork].map(|event| event.get(name).map_or("none".into(), text));
    (before != after).then(|| format!("{name} {before} -> {after}"))
}

fn named(event: &Node) -> String {
    let subject = word(event, "subject");
    let about = if subject.is_empty() { word(event, "key") } else { subject };
    format!("event {} for {about}", word(event, "type"))
}

fn emitted(event: &Node) -> String {
    let data = event.get("data").map(shown).unwrap_or_default();
    format!("{} {data}", named(event))
}

fn timer(timer: &Node) -> Marked {
    let name = word(timer, "name");
    match timer.get("due_at_ms").and_then(Node::as_u64) {
        Some(due_ms) => marked('+', format!("timer {name} due at {}", table::moment(due_ms))),
        None => marked('-', format!("timer {name}")),
    }
}

fn called(call: &Node) -> String {
    let (step, method, url) = (word(call, "step"), word(call, "method"), word(call, "url"));
    format!("#{} step {step}: {method} {url}", number(call, "event"))
}

/// What applying the plan of a key appends, and what it cannot change.
pub fn plan(plan: &Node) -> Vec<Marked> {
    let mut lines = Vec::new();
    if let Some(refused) = plan.get("refused").and_then(Node::as_str) {
        lines.push(marked('!', format!("no plan: {refused}")));
    }
    if let Some(call) = plan.get("needs_call") {
        lines.push(marked(
            '!',
            format!("needs a call: {}: made only if that is approved (--allow-calls)", called(call)),
        ));
    }
    lines.extend(list(plan, "values").iter().map(|value| match value.get("value") {
        Some(written) => marked('~', format!("state {} = {}", word(value, "name"), shown(written))),
        None => marked('-', format!("state {}", word(value, "name"))),
    }));
    lines.extend(more(plan, "values", "values of the state"));
    lines.extend(list(plan, "statuses").iter().map(|status| {
        let (subject, state, text) = (word(status, "subject"), word(status, "state"), word(status, "text"));
        let data = status.get("data").map(|data| format!(" {}", shown(data))).unwrap_or_default();
        marked('~', format!("status of {subject}: {state} ({text}){data}"))
    }));
    lines.extend(more(plan, "statuses", "statuses"));
    lines.extend(list(plan, "unset").iter().map(|subject| marked('-', format!("status of {}", text(subject)))));
    lines.extend(more(plan, "unset", "statuses"));
    lines.extend(list(plan, "events").iter().map(|event| marked('+', emitted(event))));
    lines.extend(more(plan, "events", "events"));
    lines.extend(list(plan, "timers").iter().map(timer));
    lines.extend(more(plan, "timers", "timers"));
    lines.extend(list(plan, "past_timers").iter().map(|one| {
        let Marked { text, .. } = timer(one);
        marked('!', format!("{text} is past: it fires only if that is approved (--fire-past)"))
    }));
    lines.extend(more(plan, "past_timers", "timers that are past"));
    lines.extend(list(plan, "stays").iter().map(|event| {
        marked('!', format!("{} #{} stays: it cannot be withdrawn", named(event), number(event, "position")))
    }));
    lines.extend(more(plan, "stays", "events stay"));
    lines.extend(list(plan, "calls").iter().map(|call| marked('!', format!("{} was made, and stays", called(call)))));
    lines.extend(more(plan, "calls", "calls stay"));
    let others = list(plan, "others");
    lines.extend(
        others.iter().map(|one| marked('!', format!("status of {} stays: another key has set it since", text(one)))),
    );
    lines.extend(more(plan, "others", "statuses stay"));
    lines
}

fn text(node: &Node) -> String {
    node.as_str().unwrap_or_default().into_owned()
}

/// The entries of a list that may be cut.
fn list<'a, 'b>(node: &'b Node<'a>, name: &str) -> &'b [Node<'a>] {
    node.get(name).map(|list| items(list, "first")).unwrap_or_default()
}

fn more(node: &Node, name: &str, what: &str) -> Option<Marked> {
    let more = node.get(name).map_or(0, |list| number(list, "more"));
    (more > 0).then(|| marked(' ', format!("and {more} more {what}")))
}

#[cfg(test)]
mod tests {
    use weirgate_types::json::SHOWN_DEPTH_MAX;

    use super::*;

    fn lines(json: &str, of: impl Fn(&Node) -> Vec<Marked>) -> Vec<String> {
        let node = Node::parse(json, SHOWN_DEPTH_MAX).expect("JSON");
        of(&node).into_iter().map(|line| format!("{} {}", line.mark, line.text)).collect()
    }

    #[test]
    fn differences_are_told_in_words() {
        let lane = r#"{"fails":{"event":9,"reason":"no"},"caused_by":{"handler":"a","key":"k"},
            "dropped":{"first":[4],"more":2},"outcomes":{"first":[{"event":5,"recorded":"dead-lettered"}],"more":0},
            "path":{"first":[{"event":7,"subject":"member/m","recorded":{"state":"registered","text":"Waits"},
                "fork":{"state":"active","text":"Has a key"}}],"more":0},
            "statuses":{"first":[{"subject":"member/m"},{"subject":"club","recorded":{"state":"open","text":"Open"}}],"more":0},
            "values":{"first":[{"name":"n","recorded":{"text":"1","is_cut":false,"bytes":1}}],"more":0},
            "events_added":{"first":[{"type":"key.created","key":"o","subject":"member/m",
                "data":{"text":"{ \"n\": 1 }","is_cut":false,"bytes":10}}],"more":3},
            "timers":{"first":[{"name":"t"}],"more":0},
            "unmade_calls":{"first":[{"event":5,"step":"pay","method":"POST","url":"http://a/"}],"more":0}}"#;
        let expected = [
            "! the delivery of #9 fails: no",
            "! because of k at a",
            "- #4 is not delivered",
            "  and 2 more deliveries",
            "~ #5 dead-lettered: completes",
            "~ #7 member/m: registered (Waits) -> active (Has a key)",
            "- club: open (Open) -> none",
            "~ state n: 1 -> nothing",
            "+ event key.created for member/m {\"n\":1}",
            "  and 3 more events",
            "- timer t",
            "- #5 step pay: POST http://a/ is not made",
        ];
        assert_eq!(lines(lane, differences), expected);
        assert!(lines("{}", differences).is_empty());
    }

    #[test]
    fn a_status_is_told_by_what_differs() {
        let told = |json: &str| {
            let node = Node::parse(json, SHOWN_DEPTH_MAX).expect("JSON");
            let Marked { mark, text } = status(&node);
            format!("{mark} {text}")
        };
        let done = r#"{"state":"done","text":"1 so far","data":{"text":"{\"n\":1}","is_cut":false,"bytes":7}}"#;
        let other = done.replace(r#"{\"n\":1}"#, r#"{\"n\":2}"#);
        for (json, says) in [
            (format!(r#"{{"subject":"s","fork":{done}}}"#), "+ s: none -> done (1 so far)"),
            (format!(r#"{{"subject":"s","recorded":{done}}}"#), "- s: done (1 so far) -> none"),
            (r#"{"subject":"s","is_removed":true}"#.to_owned(), "+ s: removed -> none"),
            (format!(r#"{{"subject":"s","is_removed":true,"fork":{done}}}"#), "+ s: removed -> done (1 so far)"),
            (format!(r#"{{"subject":"s","recorded":{done},"fork":{done}}}"#), "~ s: done (1 so far), by another key"),
            (
                format!(r#"{{"subject":"s","recorded":{done},"fork":{other}}}"#),
                "~ s: done (1 so far), data changes: /n = 2",
            ),
        ] {
            assert_eq!(told(&json), says);
        }
    }

    #[test]
    fn lists_that_are_cut_say_so() {
        let cut = |names: &[&str]| {
            let lists: Vec<_> = names.iter().map(|name| format!(r#""{name}":{{"first":[],"more":7}}"#)).collect();
            format!("{{{}}}", lists.join(","))
        };
        let of_lane = ["opened", "dropped", "outcomes", "path", "statuses", "values", "events_added", "events_removed"];
        let more = ["events_changed", "timers", "unanswered_calls", "unmade_calls", "made_calls"];
        let lane = lines(&cut(&[&of_lane[..], &more].concat()), differences);
        assert_eq!(lane.len(), of_lane.len() + more.len(), "{lane:?}");
        let of_plan = ["values", "statuses", "unset", "events", "timers", "past_timers", "stays", "calls", "others"];
        let planned = lines(&cut(&of_plan), plan);
        assert_eq!(planned.len(), of_plan.len(), "{planned:?}");
        assert!(lane.iter().chain(&planned).all(|line| line.starts_with("  and 7 more ")), "{lane:?} {planned:?}");
    }

    #[test]
    fn an_event_that_changed_says_what_of_it_did() {
        let side = |more: &str| {
            format!(r#"{{"event":3,"type":"a","key":"o"{more},"data":{{"text":"{{}}","is_cut":false,"bytes":2}}}}"#)
        };
        let pair = format!(
            r#"{{"recorded":{},"fork":{}}}"#,
            side(""),
            side(r#","subject":"s","datacontenttype":"text/plain""#)
        );
        let lane = format!(r#"{{"events_changed":{{"first":[{pair}],"more":0}}}}"#);
        assert_eq!(
            lines(&lane, differences),
            ["~ event a for s, subject none -> s, datacontenttype none -> text/plain"]
        );
    }

    #[test]
    fn a_plan_says_what_it_appends_and_what_stays() {
        let planned = r#"{"key":"o","values":{"first":[{"name":"n","value":{"text":"2","is_cut":false,"bytes":1}},{"name":"m"}],"more":0},
            "statuses":{"first":[{"subject":"s","state":"active","text":"x"},
            {"subject":"d","state":"paid","text":"y","data":{"text":"{\"n\":2}","is_cut":false,"bytes":7}}],"more":0},"unset":{"first":["u"],"more":0},
            "stays":{"first":[{"position":8,"type":"a","key":"o"}],"more":0},"others":{"first":["v"],"more":0}}"#;
        let expected = [
            "~ state n = 2",
            "- state m",
            "~ status of s: active (x)",
            "~ status of d: paid (y) {\"n\":2}",
            "- status of u",
            "! event a for o #8 stays: it cannot be withdrawn",
            "! status of v stays: another key has set it since",
        ];
        assert_eq!(lines(planned, plan), expected);
        assert_eq!(lines(r#"{"refused":"it fails"}"#, plan), ["! no plan: it fails"]);
        let needs = r#"{"needs_call":{"event":5,"step":"pay","method":"POST","url":"http://a/"}}"#;
        let expected = "! needs a call: #5 step pay: POST http://a/: made only if that is approved (--allow-calls)";
        assert_eq!(lines(needs, plan), [expected]);
    }
}
