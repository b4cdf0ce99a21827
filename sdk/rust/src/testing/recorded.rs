//! Deliveries that a server has recorded (`weirgate replays export --as-tests`), run natively and compared with what they came
//! to. `docs/formats/fixture.md` in Weirgate's repository describes the files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Delivery, Emitted, Run, Timer, run::End};
use crate::{Context, Due, Event, EventData, Failure, HttpError, Migration, Response};

/// The format of the files.
const FORMAT: &str = "weirgate-fixture/2";
/// The media type of data without one.
const JSON: &str = "application/json";

/// A recorded delivery: its inputs, and what its attempt came to.
///
/// ```no_run
/// # use weirgate_sdk::prelude::*;
/// # #[derive(Deserialize, EventType)]
/// # #[event("paint.mixed")]
/// # struct Mixed { litres: u64 }
/// # #[handler]
/// # fn sum(event: Event<Mixed>, context: &mut Context) -> Result<(), Failure> { Ok(()) }
/// use weirgate_sdk::testing::Recorded;
/// for recorded in Recorded::all("tests/recorded") {
///     recorded.check(sum);
/// }
/// ```
///
/// A handler that reads the clock or random numbers gets other ones in a native test.
#[derive(Debug, Clone)]
pub struct Recorded {
    path: PathBuf,
    fixture: Fixture,
    migration: Option<Migration>,
}

#[derive(Debug, Clone, Deserialize)]
struct Fixture {
    format: String,
    handler: String,
    position: u64,
    attempt: u32,
    key: String,
    wall_ms: u64,
    event: RecordedEvent,
    state: BTreeMap<String, Bytes>,
    /// The version of the state that was migrated first.
    migrated_from: Option<u32>,
    config: BTreeMap<String, String>,
    answers: BTreeMap<String, Answer>,
    expected: Expected,
}

#[derive(Debug, Clone, Deserialize)]
struct RecordedEvent {
    id: String,
    source: String,
    r#type: String,
    subject: Option<String>,
    time: Option<String>,
    data_content_type: Option<String>,
    extensions: Vec<(String, String)>,
    data: Bytes,
}

/// Bytes: as text where they are UTF-8.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Bytes {
    Text(String),
    Hex(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Response { status: u16, headers: Vec<(String, String)>, body: Bytes },
    Denied(String),
    Unreachable(String),
    TimedOut,
    TooLarge,
    CircuitOpen(u64),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    Completed(Effects),
    Transient { message: String, retry_after_ms: Option<u64>, at_open_circuit: bool },
    Correctable { message: String, what_is_wrong: String },
    Permanent { message: String },
}

#[derive(Debug, Clone, Deserialize)]
struct Effects {
    /// The state after it.
    state: BTreeMap<String, Bytes>,
    emitted: Vec<RecordedEmission>,
    status: Vec<RecordedStatus>,
    timers: Vec<RecordedTimer>,
}

#[derive(Debug, Clone, Deserialize)]
struct RecordedEmission {
    r#type: String,
    subject: String,
    key: String,
    data_content_type: Option<String>,
    data: Bytes,
}

#[derive(Debug, Clone, Deserialize)]
struct RecordedStatus {
    subject: String,
    state: String,
    text: String,
    data: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct RecordedTimer {
    name: String,
    /// `None` if it was cancelled.
    due_ms: Option<u64>,
    r#type: Option<String>,
    data: Option<Bytes>,
}

impl Recorded {
    /// All recorded deliveries in a directory, sorted by name.
    ///
    /// # Panics
    /// The directory holds none, or a file cannot be read.
    #[must_use]
    pub fn all(directory: impl AsRef<Path>) -> Vec<Self> {
        let directory = directory.as_ref();
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        assert!(!paths.is_empty(), "{} holds no recorded delivery", directory.display());
        paths.into_iter().map(Self::read).collect()
    }

    /// The recorded delivery in a file.
    ///
    /// # Panics
    /// The file cannot be read, or is of another format.
    #[must_use]
    pub fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let fixture: Fixture =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is no fixture: {error}", path.display()));
        assert_eq!(fixture.format, FORMAT, "{} is of another format", path.display());
        Self { path, fixture, migration: None }
    }

    /// The handler's `migrate_state`, for attempts that began with a migration.
    #[must_use]
    pub fn migrating(self, migration: Migration) -> Self {
        Self { migration: Some(migration), ..self }
    }

    /// The delivery, to change something before it is run.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let Fixture { handler, position, attempt, key, event, state, config, answers, .. } = self.fixture.clone();
        let mut delivery = Delivery::raw(event.r#type, event.data.bytes()).key(key).handler(handler);
        delivery = delivery.position(position).attempt(attempt).id(event.id).source(event.source);
        delivery.event.subject = event.subject;
        delivery.event.time = event.time;
        delivery.event.data_content_type = event.data_content_type;
        delivery.event.extensions = event.extensions;
        delivery.state = state.into_iter().map(|(name, value)| (name, value.bytes())).collect();
        delivery.config = config;
        if let Some((from, migration)) = self.fixture.migrated_from.zip(self.migration) {
            delivery = delivery.migrating(from, migration);
        }
        answers.into_iter().fold(delivery, |delivery, (step, answer)| answer.give(delivery, step))
    }

    /// Runs the handler, and checks that it comes to what was recorded.
    ///
    /// # Panics
    /// It comes to something else.
    #[track_caller]
    pub fn check<T: EventData>(&self, handler: impl FnOnce(Event<T>, &mut Context) -> Result<(), Failure>) {
        let path = self.path.display();
        let lacks_migration = self.fixture.migrated_from.is_some() && self.migration.is_none();
        assert!(!lacks_migration, "{path} began with a migration: check it with `recorded.migrating(migrate_state)`");
        let run = self.delivery().run(handler);
        match (&self.fixture.expected, run.end()) {
            (Expected::Completed(expected), End::Completed) => {
                let differences = expected.differences(&run, self.fixture.wall_ms);
                assert!(differences.is_empty(), "{path}:\n{}{}", differences.join("\n"), run.story());
            }
            (Expected::Completed(_), _) => {
                panic!("{path}: it was recorded as completed{}{}", ended(&run), run.story())
            }
            (expected, End::Failed(failure)) => {
                assert_eq!(
                    expected.failure(failure).as_ref(),
                    Some(failure),
                    "{path}: the recorded failure, and that of this run"
                );
            }
            (expected, _) => panic!("{path}: it was recorded as {expected:?}{}{}", ended(&run), run.story()),
        }
    }
}

fn ended(run: &Run) -> String {
    match run.end() {
        End::Completed => ", and completes now".to_owned(),
        End::Failed(failure) => format!(", and fails now as {failure}"),
        End::Ended(reason) => format!(", and is ended now: {reason}"),
        End::Blocked => ", and is blocked now".to_owned(),
    }
}

impl Expected {
    /// The recorded failure. At an open circuit the runtime sets the time of the next attempt, so that of `now` is as good.
    fn failure(&self, now: &Failure) -> Option<Failure> {
        Some(match self.clone() {
            Self::Completed(_) => return None,
            Self::Transient { message, retry_after_ms, at_open_circuit } => match now {
                Failure::Transient { retry_after_ms, .. } if at_open_circuit => {
                    Failure::Transient { message, retry_after_ms: *retry_after_ms }
                }
                _ => Failure::Transient { message, retry_after_ms },
            },
            Self::Correctable { message, what_is_wrong } => Failure::Correctable { message, what_is_wrong },
            Self::Permanent { message } => Failure::Permanent { message },
        })
    }
}

impl Effects {
    /// A line for each part that differs.
    fn differences(&self, run: &Run, wall_ms: u64) -> Vec<String> {
        let state: BTreeMap<_, _> =
            self.state.iter().map(|(name, value)| (name.clone(), value.clone().bytes())).collect();
        let emitted: Vec<_> = self.emitted.iter().map(RecordedEmission::to_emitted).collect();
        let now: Vec<_> = run.emissions().iter().cloned().map(with_content_type).collect();
        let status: BTreeMap<_, _> = self.status.iter().map(RecordedStatus::parts).collect();
        let statuses = run.statuses().iter();
        let statuses: BTreeMap<_, _> = statuses
            .map(|status| (status.subject.clone(), (status.state.clone(), status.text.clone(), status.data.clone())))
            .collect();
        let timers: BTreeMap<_, _> = self.timers.iter().map(RecordedTimer::parts).collect();
        let started = run.timer_writes().iter();
        let started: BTreeMap<_, _> =
            started.map(|(name, timer)| (name.clone(), timer.as_ref().map(|timer| due(timer, wall_ms)))).collect();
        [
            differs("state", &readable(&state), &readable(run.all_state())),
            differs("emitted events", &emitted, &now),
            differs("status", &status, &statuses),
            differs("timers", &timers, &started),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn differs<T: PartialEq + std::fmt::Debug>(what: &str, recorded: &T, now: &T) -> Option<String> {
    (recorded != now).then(|| format!("  {what} recorded: {recorded:?}\n  {what} now:      {now:?}"))
}

fn readable(state: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&str, String> {
    state.iter().map(|(name, value)| (name.as_str(), value.escape_ascii().to_string())).collect()
}

/// When a timer is due, and its event's type and data.
type DueEvent = (u64, String, Vec<u8>);

fn due(timer: &Timer, wall_ms: u64) -> DueEvent {
    let due_ms = match timer.due {
        Due::AtMs(ms) => ms,
        Due::AfterMs(ms) => wall_ms.saturating_add(ms),
    };
    (due_ms, timer.r#type.clone(), timer.data.clone())
}

fn with_content_type(emitted: Emitted) -> Emitted {
    Emitted { data_content_type: Some(emitted.data_content_type.unwrap_or_else(|| JSON.to_owned())), ..emitted }
}

impl RecordedEmission {
    fn to_emitted(&self) -> Emitted {
        let Self { r#type, subject, key, data_content_type, data } = self.clone();
        with_content_type(Emitted { r#type, subject, key, data_content_type, data: data.bytes() })
    }
}

impl RecordedStatus {
    fn parts(&self) -> (String, (String, String, serde_json::Value)) {
        let data = self.data.as_ref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
        (self.subject.clone(), (self.state.clone(), self.text.clone(), data))
    }
}

impl RecordedTimer {
    fn parts(&self) -> (String, Option<DueEvent>) {
        let data = self.data.clone().map(Bytes::bytes).unwrap_or_default();
        (self.name.clone(), self.due_ms.map(|due_ms| (due_ms, self.r#type.clone().unwrap_or_default(), data)))
    }
}

impl Answer {
    fn give(self, delivery: Delivery, step: String) -> Delivery {
        match self {
            Self::Response { status, headers, body } => {
                delivery.answer(step, Response { status, headers, body: body.bytes() })
            }
            Self::Denied(reason) => delivery.answer_error(step, HttpError::Denied(reason)),
            Self::Unreachable(reason) => delivery.answer_error(step, HttpError::Unreachable(reason)),
            Self::TimedOut => delivery.answer_error(step, HttpError::TimedOut),
            Self::TooLarge => delivery.answer_error(step, HttpError::TooLarge),
            Self::CircuitOpen(retry_after_ms) => delivery.answer_error(step, HttpError::CircuitOpen { retry_after_ms }),
        }
    }
}

impl Bytes {
    fn bytes(self) -> Vec<u8> {
        let digits = match self {
            Self::Text(text) => return text.into_bytes(),
            Self::Hex(digits) => digits,
        };
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        bytes.unwrap_or_else(|| panic!("the fixture has wrong hexadecimal digits: {digits}"))
    }
}
