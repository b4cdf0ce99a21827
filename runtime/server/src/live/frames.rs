//! The messages of `weirgate.v1`, as data.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use weirgate_engine::{Epoch, PlanId, SharedDelta};
use weirgate_types::{Position, StatusDelta, StatusDocument};

use crate::{Problem, objects::Objects, problem::bounded, routes::ReplayItem};

/// A client's message.
#[derive(Debug)]
pub enum Request {
    Subscribe { subjects: Vec<Wanted> },
    Unsubscribe { subjects: Vec<String> },
    Follow { replays: Vec<String> },
    Unfollow { replays: Vec<String> },
}

/// What a message says first. Read by itself, because a tag inside an enum would take an array for an object.
#[derive(Deserialize)]
struct Head {
    r#type: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Subscribe,
    Unsubscribe,
    Follow,
    Unfollow,
}

#[derive(Deserialize)]
struct Subjects<T> {
    subjects: Vec<T>,
}

#[derive(Deserialize)]
struct Replays {
    replays: Vec<String>,
}

/// A subject, and the version that the client already has.
#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    pub subject: String,
    #[serde(default)]
    pub epoch: Option<String>,
    #[serde(default)]
    pub version: Option<Position>,
}

/// A server's message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Frame<'a> {
    Hello {
        epoch: String,
        heartbeat_ms: u128,
        subjects_max: usize,
    },
    Snapshot {
        subject: &'a str,
        epoch: String,
        #[serde(flatten)]
        document: Versioned<'a>,
    },
    Delta {
        subject: &'a str,
        previous: Position,
        #[serde(flatten)]
        document: Versioned<'a>,
    },
    Replay {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        replay: Option<&'a ReplayItem>,
        #[serde(flatten)]
        refused: Option<Refused<'a>>,
    },
    Heartbeat,
    Error {
        code: &'a str,
        message: &'a str,
    },
}

/// Why a replay cannot be followed.
#[derive(Serialize)]
struct Refused<'a> {
    code: &'a str,
    message: &'a str,
}

impl Request {
    /// Parses a message. The error is a text for the client, cut to a maximum length.
    pub fn parse(text: &str) -> Result<Self, String> {
        let request = serde_json::from_str(text).and_then(|Objects(Head { r#type })| match r#type {
            Kind::Subscribe => {
                serde_json::from_str(text).map(|Objects(Subjects { subjects })| Self::Subscribe { subjects })
            }
            Kind::Unsubscribe => {
                serde_json::from_str(text).map(|Objects(Subjects { subjects })| Self::Unsubscribe { subjects })
            }
            Kind::Follow => serde_json::from_str(text).map(|Objects(Replays { replays })| Self::Follow { replays }),
            Kind::Unfollow => serde_json::from_str(text).map(|Objects(Replays { replays })| Self::Unfollow { replays }),
        });
        request.map_err(|error| bounded(error.to_string()))
    }

    /// The subjects in the message.
    #[cfg(feature = "fuzz")]
    pub fn subjects(self) -> Vec<String> {
        match self {
            Self::Subscribe { subjects } => subjects.into_iter().map(|wanted| wanted.subject).collect(),
            Self::Unsubscribe { subjects } => subjects,
            Self::Follow { replays } | Self::Unfollow { replays } => replays,
        }
    }
}

type Parts = std::collections::BTreeMap<String, weirgate_types::StatusPart>;

#[derive(Serialize)]
struct Versioned<'a> {
    version: Position,
    parts: &'a Parts,
}

fn text(frame: &Frame<'_>) -> String {
    // Strings, numbers and JSON that was checked when it came in: writing these cannot fail.
    serde_json::to_string(frame).unwrap_or_default()
}

pub fn hello(epoch: Epoch, heartbeat_ms: u128, subjects_max: usize) -> String {
    text(&Frame::Hello { epoch: epoch.to_string(), heartbeat_ms, subjects_max })
}

/// A replay as it is now.
pub fn replay(item: &ReplayItem) -> String {
    text(&Frame::Replay { id: item.id().to_owned(), replay: Some(item), refused: None })
}

/// A replay that cannot be followed.
pub fn no_replay(id: PlanId, problem: &Problem) -> String {
    let refused = Some(Refused { code: &problem.code, message: &problem.detail });
    text(&Frame::Replay { id: id.to_string(), replay: None, refused })
}

pub fn heartbeat() -> String {
    text(&Frame::Heartbeat)
}

pub fn error(code: &str, message: &str) -> String {
    text(&Frame::Error { code, message })
}

/// The answer to a subscription: the changes since the client's version, if that is one of this log's; else the whole
/// document.
pub fn answer(subject: &str, epoch: Epoch, document: &StatusDocument, seen: Option<Position>) -> String {
    if let Some(seen) = seen.filter(|seen| *seen <= document.version) {
        delta(subject, &document.since(seen))
    } else {
        let document = document.clone().shown();
        let versioned = Versioned { version: document.version, parts: &document.parts };
        text(&Frame::Snapshot { subject, epoch: epoch.to_string(), document: versioned })
    }
}

pub fn delta(subject: &str, delta: &StatusDelta) -> String {
    let document = Versioned { version: delta.version, parts: &delta.parts };
    text(&Frame::Delta { subject, previous: delta.previous, document })
}

/// The same for a delta shared by many connections: encoded once.
pub fn shared_delta(subject: &str, shared: &SharedDelta) -> Arc<str> {
    Arc::clone(shared.encoded.get_or_init(|| delta(subject, &shared.delta).into()))
}

/// Each subject once, where it was named first, with the version that was named last.
pub fn distinct(subjects: Vec<Wanted>) -> Vec<Wanted> {
    let mut places = HashMap::new();
    let mut distinct = Vec::<Wanted>::new();
    for wanted in subjects {
        let place = *places.entry(wanted.subject.clone()).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some(known) => *known = wanted,
            None => distinct.push(wanted),
        }
    }
    distinct
}

impl Wanted {
    /// The client's version, if it is one of this log's.
    pub fn seen(&self, epoch: Epoch) -> Option<Position> {
        self.version.filter(|_| self.epoch.as_deref() == Some(epoch.to_string().as_str()))
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::StatusPart;

    use super::*;

    const EPOCH: Epoch = Epoch([7; 16]);

    fn document() -> StatusDocument {
        let mut document = StatusDocument::default();
        for (name, version) in [("order", 3), ("payment", 8)] {
            let state = "done".to_owned();
            let part = StatusPart {
                version: Position(version),
                at_ms: 1,
                state,
                text: String::new(),
                data: None,
                delivery: None,
                corrected: false,
                removed: false,
            };
            document.set(name, part);
        }
        document
    }

    fn answered(seen: Option<u64>) -> serde_json::Value {
        serde_json::from_str(&answer("order/o-1", EPOCH, &document(), seen.map(Position))).expect("JSON")
    }

    #[test]
    fn a_version_of_this_log_is_resumed() {
        let delta = answered(Some(3));
        assert_eq!((&delta["type"], &delta["previous"], &delta["version"]), (&"delta".into(), &3.into(), &8.into()));
        assert!(delta["parts"].get("order").is_none() && delta["parts"]["payment"]["state"] == "done");
        assert_eq!(answered(Some(8))["parts"], serde_json::json!({}));
    }

    #[test]
    fn a_removed_part_is_told_in_deltas_only() {
        let mut document = document();
        let removed = |part: StatusPart| StatusPart { version: Position(9), removed: true, ..part };
        let part = document.parts.get("payment").cloned().map(removed).expect("a part");
        document.set("payment", part);
        let answered = |seen: Option<u64>| -> serde_json::Value {
            serde_json::from_str(&answer("order/o-1", EPOCH, &document, seen.map(Position))).expect("JSON")
        };
        assert_eq!(answered(Some(8))["parts"]["payment"]["removed"], true);
        let snapshot = answered(None);
        assert_eq!((&snapshot["version"], snapshot["parts"].get("payment")), (&9.into(), None));
        assert!(snapshot["parts"]["order"].get("removed").is_none(), "a part says it only if it is so");
    }

    #[test]
    fn no_version_or_one_from_the_future_gets_a_snapshot() {
        for seen in [None, Some(9)] {
            let snapshot = answered(seen);
            assert_eq!((&snapshot["type"], &snapshot["version"]), (&"snapshot".into(), &8.into()));
            assert_eq!(snapshot["epoch"], EPOCH.to_string());
            assert_eq!(snapshot["parts"].as_object().map(serde_json::Map::len), Some(2));
        }
    }

    #[test]
    fn a_subject_that_is_named_twice_is_one() {
        let wanted = |(subject, version): (&str, u64)| Wanted {
            subject: subject.into(),
            epoch: None,
            version: Some(Position(version)),
        };
        let named = [("b", 1), ("a", 2), ("b", 3), ("c", 4), ("b", 5)].map(wanted);
        let distinct = distinct(named.into()).into_iter().map(|wanted| (wanted.subject, wanted.version));
        let expected =
            [("b", 5), ("a", 2), ("c", 4)].map(|(subject, version)| (subject.into(), Some(Position(version))));
        assert_eq!(distinct.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_message_is_an_object() {
        for good in [
            r#"{"type":"subscribe","subjects":[{"subject":"a"},{"subject":"b","epoch":"x","version":3}]}"#,
            r#"{"subjects":["a"],"type":"unsubscribe","more":[1]}"#,
            r#"{"type":"follow","replays":["42","42-undo"]}"#,
            r#"{"type":"unfollow","replays":[]}"#,
        ] {
            assert!(Request::parse(good).is_ok(), "{good}: {:?}", Request::parse(good));
        }
        for bad in [
            "[]",
            r#"["subscribe",[{"subject":"a"}]]"#,
            r#"[["subscribe"],[]]"#,
            r#"{"type":"subscribe","subjects":[["a","x",3]]}"#,
            r#"{"type":["subscribe"],"subjects":[]}"#,
            r#"{"type":"subscribe","subjects":{}}"#,
            r#"{"type":"subscribe","subjects":["a"]}"#,
            r#"{"type":"unsubscribe","subjects":[{"subject":"a"}]}"#,
            r#"{"type":"subscribe","type":"subscribe","subjects":[]}"#,
            r#"{"type":"other","subjects":[]}"#,
            r#"{"type":"follow","subjects":[]}"#,
            r#"{"type":"follow","replays":[42]}"#,
            r#"{"type":"subscribe"}"#,
        ] {
            assert!(Request::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_version_of_another_log_is_ignored() {
        let wanted = |epoch: Option<String>| Wanted { subject: "s".into(), epoch, version: Some(Position(3)) };
        assert_eq!(wanted(Some(EPOCH.to_string())).seen(EPOCH), Some(Position(3)));
        assert_eq!(wanted(Some("00".into())).seen(EPOCH), None);
        assert_eq!(wanted(None).seen(EPOCH), None);
    }
}
