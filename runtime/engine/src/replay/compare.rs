//! Whether an attempt that was executed again came to what the log holds. Pure.

use serde::{Deserialize, Serialize};
use weirgate_host::CallError;
use weirgate_types::{AttemptFailure, Commit, Correction, Effects, Event, LogLine, Outcome, RUNTIME_TYPES};

use crate::job::recorded_failure;

/// Maximum length of a value in a difference, in characters.
const SHOWN_CHARS_MAX: usize = 2_000;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Outcome,
    State,
    Status,
    Emitted,
    Timers,
    Log,
    Correction,
    /// Outbound calls: not those that were recorded.
    Calls,
}

impl Part {
    /// Its name, the same in every interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::State => "state",
            Self::Status => "status",
            Self::Emitted => "emitted",
            Self::Timers => "timers",
            Self::Log => "log",
            Self::Correction => "correction",
            Self::Calls => "calls",
        }
    }
}

/// A part of an attempt that differs: as recorded, and as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    pub part: Part,
    pub recorded: String,
    pub now: String,
}

/// What an attempt came to, in the form that is compared: without what the runtime added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    pub result: Result<Effects, AttemptFailure>,
    pub log: Vec<LogLine>,
}

/// What a repeated attempt came to.
#[derive(Debug)]
pub struct Repeated {
    pub result: Result<Effects, CallError>,
    pub log: Vec<LogLine>,
}

impl From<Repeated> for Came {
    fn from(repeated: Repeated) -> Self {
        Self { result: repeated.result.map_err(|error| recorded_failure(&error)), log: repeated.log }
    }
}

impl From<&Commit> for Came {
    fn from(commit: &Commit) -> Self {
        let result = match &commit.outcome {
            Outcome::Completed | Outcome::Withheld => Ok(own_effects(&commit.effects)),
            Outcome::Retry { failure, .. }
            | Outcome::AwaitingCorrection { failure, .. }
            | Outcome::DeadLettered { failure, .. } => Err(failure.clone()),
        };
        Self { result, log: commit.log.clone() }
    }
}

/// All parts in which two results differ.
pub fn differences(recorded: &Came, now: &Came) -> Vec<Differs> {
    let mut all = Vec::new();
    let mut compare = |part, recorded: String, now: String| {
        if recorded != now {
            all.push(Differs { part, recorded: shown(&recorded), now: shown(&now) });
        }
    };
    match (&recorded.result, &now.result) {
        (Ok(recorded), Ok(now)) => {
            compare(Part::State, text(&recorded.state), text(&now.state));
            compare(Part::Status, text(&recorded.status), text(&now.status));
            compare(Part::Emitted, text(&recorded.emitted), text(&now.emitted));
            compare(Part::Timers, text(&recorded.timers), text(&now.timers));
        }
        (recorded, now) => compare(Part::Outcome, result_text(recorded), result_text(now)),
    }
    compare(Part::Log, text(&recorded.log), text(&now.log));
    all
}

/// The correction that the handler's hook made, if it differs.
pub fn correction_difference(recorded: &Correction, now: &Correction) -> Option<Differs> {
    let of = |correction: &Correction| {
        let data = String::from_utf8_lossy(&correction.data);
        shown(&format!("{} {data}", correction.data_content_type.as_deref().unwrap_or("application/json")))
    };
    (recorded != now).then(|| Differs { part: Part::Correction, recorded: of(recorded), now: of(now) })
}

/// The handler's own effects: without the runtime's notice of the attempt, and whether or not its emissions wait.
fn own_effects(effects: &Effects) -> Effects {
    let own = |event: &&Event| !event.r#type.starts_with(RUNTIME_TYPES);
    let emitted = effects.withheld.iter().chain(effects.emitted.iter().filter(own)).cloned().collect();
    Effects { emitted, withheld: Vec::new(), ..effects.clone() }
}

fn result_text(result: &Result<Effects, AttemptFailure>) -> String {
    match result {
        Ok(_) => "completed".to_owned(),
        Err(failure) => text(failure),
    }
}

/// JSON, for people; equal values have equal text.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("not JSON: {error}"))
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::{Digest, FailureClass, FailureKind, LogLevel, Position, StateWrite, StatusWrite, TimerWrite};

    use super::*;

    fn event(r#type: &str, data: &str) -> Event {
        Event {
            id: "1".into(),
            source: "/handlers/a".into(),
            r#type: r#type.into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: std::collections::BTreeMap::new(),
            implied_key: None,
            data: data.into(),
        }
    }

    fn effects() -> Effects {
        Effects {
            state: vec![StateWrite { name: "grams".into(), value: Some(vec![1]) }],
            status: vec![StatusWrite { subject: "o".into(), state: "a".into(), text: "b".into(), data: None }],
            emitted: vec![event("order.packed", "1")],
            timers: vec![TimerWrite { name: "t".into(), set: None }],
            withheld: Vec::new(),
        }
    }

    fn commit(outcome: Outcome, effects: Effects) -> Commit {
        Commit {
            handler: "a".parse().expect("a name"),
            event: Position(1),
            key: "k".into(),
            attempt: 1,
            version: Position(1),
            digest: Digest([0; 32]),
            at_ms: 0,
            outcome,
            depth: 1,
            effects,
            log: vec![LogLine { level: LogLevel::Info, message: "packed".into() }],
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
            state_version: 1,
            migrated_from: None,
        }
    }

    fn repeated(result: Result<Effects, CallError>) -> Came {
        Repeated { result, log: vec![LogLine { level: LogLevel::Info, message: "packed".into() }] }.into()
    }

    fn parts(commit: &Commit, repeated: &Came) -> Vec<&'static str> {
        differences(&commit.into(), repeated).iter().map(|differs| differs.part.as_str()).collect()
    }

    #[test]
    fn equal_results_do_not_differ() {
        let notice = Effects {
            emitted: vec![event("order.packed", "1"), event("weirgate.delivery.recovered", "")],
            ..effects()
        };
        assert_eq!(
            parts(&commit(Outcome::Completed, notice), &repeated(Ok(effects()))),
            [""; 0],
            "the notice is the runtime's"
        );
        let withheld = Effects { emitted: Vec::new(), withheld: effects().emitted, ..effects() };
        assert_eq!(parts(&commit(Outcome::Withheld, withheld), &repeated(Ok(effects()))), [""; 0]);
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let recorded = commit(Outcome::Completed, effects());
        let with = |change: fn(&mut Effects)| {
            let mut changed = effects();
            change(&mut changed);
            parts(&recorded, &repeated(Ok(changed)))
        };
        assert_eq!(with(|effects| effects.state[0].value = Some(vec![2])), ["state"]);
        assert_eq!(with(|effects| effects.status[0].text.push('.')), ["status"]);
        assert_eq!(with(|effects| effects.emitted[0].data.push(b'0')), ["emitted"]);
        assert_eq!(with(|effects| effects.emitted.push(event("order.packed", "2"))), ["emitted"]);
        assert_eq!(with(|effects| effects.timers.clear()), ["timers"]);
        let quiet = Came { log: Vec::new(), ..repeated(Ok(effects())) };
        assert_eq!(parts(&recorded, &quiet), ["log"]);
    }

    #[test]
    fn failures_are_compared_in_full() {
        let failure = |message: &str| AttemptFailure::found(FailureKind::Handler, message);
        let awaiting = |failure| commit(Outcome::AwaitingCorrection { previous: None, failure }, Effects::default());
        let now = || repeated(Err(CallError::Failed(failure("no stock"))));
        assert_eq!(parts(&awaiting(failure("no stock")), &now()), [""; 0]);
        assert_eq!(parts(&awaiting(failure("no shelf")), &now()), ["outcome"]);
        let permanent = AttemptFailure { class: FailureClass::Permanent, ..failure("no stock") };
        assert_eq!(parts(&awaiting(permanent), &now()), ["outcome"]);
        assert_eq!(parts(&commit(Outcome::Completed, effects()), &now()), ["outcome"]);
        let unrecorded = repeated(Err(CallError::Unrecorded("charge".into())));
        let found = differences(&(&awaiting(failure("no stock"))).into(), &unrecorded);
        assert!(found[0].now.contains("the step `charge` is not recorded"), "{found:?}");
        let blocked = commit(
            Outcome::Retry {
                delay_ms: 0,
                due_ms: 0,
                stage: 0,
                spent: false,
                previous: None,
                failure: AttemptFailure::found(FailureKind::NotReached, CallError::Blocked.to_string()),
            },
            Effects::default(),
        );
        assert_eq!(parts(&blocked, &repeated(Err(CallError::Blocked))), [""; 0]);
    }
}
