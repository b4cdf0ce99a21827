//! A timeline as a picture in text: a line for each thing that happened, with the time since the beginning and a mark, and lines for
//! what belongs to it. Readable without colour; pure functions of the answer and a width.

use std::collections::{HashMap, HashSet};

use weirgate_types::json::Node;

use super::{
    super::{
        members::number,
        table::{cut, moments},
    },
    words::{self, Told},
};

/// The columns of the time.
const TIME_WIDTH: usize = 10;

/// The lines of a story, cut at a width if there is one.
pub fn lines(key: &str, entries: &[Node], started_ms: u64, width: Option<usize>) -> Vec<String> {
    let count = match entries.len() {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    let mut lines = vec![format!("{key}, begun {}, {count}", moments::local(started_ms)), String::new()];
    let mut running = HashMap::new();
    for (entry, is_short) in entries.iter().zip(short(entries)) {
        let at_ms = number(entry, "at_ms");
        if let Some(attempt) = words::began(entry) {
            running.insert(attempt, at_ms);
        }
        if is_short {
            continue;
        }
        let began_ms = words::ended(entry).and_then(|attempt| running.remove(&attempt));
        let took_ms = began_ms.map(|began_ms| at_ms.saturating_sub(began_ms));
        let time = since(at_ms.saturating_sub(started_ms));
        let Told { mark, text, details } = words::told(entry, took_ms, started_ms);
        lines.push(format!("{time:>TIME_WIDTH$}  {mark} {text}"));
        lines.extend(details.into_iter().map(|detail| format!("{:TIME_WIDTH$}  |   {detail}", "")));
    }
    match width {
        Some(width) => lines.iter().map(|line| cut(line, width)).collect(),
        None => lines,
    }
}

/// For each entry, whether it is the beginning of an attempt of which nothing else is told but its end: then that says it all.
fn short(entries: &[Node]) -> Vec<bool> {
    let mut ends_next = HashSet::new();
    let mut short: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| {
            if let Some(attempt) = words::stepped(entry) {
                ends_next.remove(&attempt);
            }
            ends_next.extend(words::ended(entry));
            words::began(entry).is_some_and(|attempt| ends_next.remove(&attempt))
        })
        .collect();
    short.reverse();
    short
}

/// A time since the beginning: exact while it is short.
pub fn since(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        1..1_000 => format!("+{ms}ms"),
        1_000..60_000 => format!("+{}.{:03}s", ms / 1_000, ms % 1_000),
        _ => format!("+{}", moments::duration(ms)),
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;
    use weirgate_types::json::SHOWN_DEPTH_MAX;

    use super::*;

    const STORY: &str = include_str!("story.json");

    fn told(width: Option<usize>) -> Vec<String> {
        let answer = Node::parse(STORY, SHOWN_DEPTH_MAX).expect("JSON");
        let entries = answer.get("entries").expect("entries").items();
        lines("order/o-1", entries, 1_790_000_000_000, width).split_off(1)
    }

    #[test]
    fn a_story_is_told() {
        let expected: Vec<_> = include_str!("story.txt").lines().map(ToOwned::to_owned).collect();
        let told = told(None);
        for (told, expected) in told.iter().zip(&expected) {
            assert_eq!(told, expected);
        }
        assert_eq!(told.len(), expected.len());
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..100 {
            assert!(told(Some(width)).iter().all(|line| line.width() <= width), "{width}");
        }
    }

    #[test]
    fn times_are_exact_while_they_are_short() {
        for (ms, shown) in
            [(0, "0"), (7, "+7ms"), (999, "+999ms"), (1_000, "+1.000s"), (59_999, "+59.999s"), (61_000, "+1m 1s")]
        {
            assert_eq!(since(ms), shown);
        }
    }
}
