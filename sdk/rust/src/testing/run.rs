//! The result of a call, and a test's assertions on it. A wrong expectation panics with the whole result.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{
    Asked, Timer,
    recorder::Recorded,
    timers::{self, Timers},
    typed::typed,
};
use crate::{EventType, Failure, Level, backend::RawEmission};

/// How a call ended.
#[derive(Debug)]
pub(super) enum End {
    Completed,
    Failed(Failure),
    /// A limit of the contract ended it.
    Ended(String),
    /// An earlier item of its key failed in the same batch.
    Blocked,
}

/// An event that a completed call emitted, with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    pub r#type: String,
    pub subject: String,
    pub key: String,
    pub data_content_type: Option<String>,
    pub data: Vec<u8>,
}

/// A status that a completed call set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub subject: String,
    pub state: String,
    pub text: String,
    /// `Null` if none was given.
    pub data: serde_json::Value,
}

/// A finished call. It has effects only if it completed; it always has its log.
#[derive(Debug)]
pub struct Run {
    end: End,
    key: String,
    state: BTreeMap<String, Vec<u8>>,
    emitted: Vec<Emitted>,
    statuses: Vec<Status>,
    timers: Timers,
    asked: Vec<Asked>,
    log: Vec<(Level, String)>,
    log_lines_dropped: usize,
}

#[allow(clippy::must_use_candidate, reason = "asking is checking: the answer need not be used")]
impl Run {
    pub(super) fn new(end: End, recorded: Recorded, subject: &str) -> Self {
        let Recorded { key, state, emissions, statuses, timers, network, log, log_lines_dropped, .. } = recorded;
        let statuses = statuses.into_iter().map(|status| Status {
            subject: status.subject.unwrap_or_else(|| key.clone()),
            state: status.state,
            text: status.text,
            data: status.data.and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default(),
        });
        let statuses = statuses.collect();
        let emitted = emissions.into_iter().map(|emission| fill_in(emission, subject, &key)).collect();
        let timers = timers::written(timers, &key);
        let asked = network.asked;
        Self { end, key, state, emitted, statuses, timers, asked, log, log_lines_dropped }
    }

    /// Checks that the call completed.
    ///
    /// # Panics
    /// It failed, or a limit ended it.
    #[track_caller]
    pub fn completed(&self) -> &Self {
        match &self.end {
            End::Completed => self,
            End::Failed(failure) => {
                panic!("the delivery should have completed, but failed as {failure}{}", self.story())
            }
            End::Ended(reason) => panic!("the delivery should have completed, but was ended: {reason}{}", self.story()),
            End::Blocked => panic!("the delivery should have completed, but was blocked behind one that failed"),
        }
    }

    /// The failure that the handler returned.
    ///
    /// # Panics
    /// It returned no failure.
    #[track_caller]
    pub fn failure(&self) -> &Failure {
        match &self.end {
            End::Failed(failure) => failure,
            End::Completed => panic!("the delivery should have failed, but completed{}", self.story()),
            End::Ended(reason) => panic!("the handler should have failed itself, but was ended: {reason}"),
            End::Blocked => panic!("the delivery should have failed, but was blocked behind one that did"),
        }
    }

    /// The handler's result, for tests that deliver again after a failure.
    ///
    /// # Errors
    /// The returned failure.
    ///
    /// # Panics
    /// It returned nothing: a limit ended it, or it was blocked behind a failed item.
    #[track_caller]
    pub fn result(&self) -> Result<(), &Failure> {
        if self.is_completed() { Ok(()) } else { Err(self.failure()) }
    }

    /// The limit that ended the call.
    ///
    /// # Panics
    /// No limit did.
    #[track_caller]
    pub fn ended(&self) -> &str {
        match &self.end {
            End::Ended(reason) => reason,
            End::Completed => panic!("a limit should have ended the call, but it completed{}", self.story()),
            End::Failed(failure) => panic!("a limit should have ended the call, but it failed as {failure}"),
            End::Blocked => {
                panic!("a limit should have ended the call, but it was blocked behind one that failed")
            }
        }
    }

    /// The status that was set on the delivery's key, the last one if there are several.
    ///
    /// # Panics
    /// None was set, or the call did not complete.
    #[track_caller]
    pub fn status(&self) -> &Status {
        let key = &self.key;
        self.status_on(key).unwrap_or_else(|| panic!("no status was set on {key}{}", self.story()))
    }

    /// The status that was set on a subject.
    ///
    /// # Panics
    /// The call did not complete.
    #[track_caller]
    #[must_use]
    pub fn status_on(&self, subject: &str) -> Option<&Status> {
        self.completed().statuses.iter().rev().find(|status| status.subject == subject)
    }

    /// The data of all emitted events of type `E`, in order.
    ///
    /// # Panics
    /// The call did not complete, or an event's data is not an `E`.
    #[track_caller]
    #[must_use]
    pub fn emitted<E: EventType + DeserializeOwned>(&self) -> Vec<E> {
        let of_type = self.emissions().iter().filter(|emitted| emitted.r#type == E::TYPE);
        of_type.map(|emitted| typed(&emitted.data, E::TYPE)).collect()
    }

    /// All emitted events, in order.
    ///
    /// # Panics
    /// The call did not complete.
    #[track_caller]
    #[must_use]
    pub fn emissions(&self) -> &[Emitted] {
        &self.completed().emitted
    }

    /// The value of `name` after the call.
    ///
    /// # Panics
    /// The call did not complete, or the value is not a `T`.
    #[track_caller]
    #[must_use]
    pub fn state<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.completed().state.get(name).map(|bytes| typed(bytes, name))
    }

    /// Checks that the call completed and had no effect: no event, no status, no timer.
    ///
    /// # Panics
    /// It had an effect, or did not complete.
    #[track_caller]
    pub fn did_nothing(&self) -> &Self {
        let Self { emitted, statuses, timers, .. } = self.completed();
        assert!(
            emitted.is_empty() && statuses.is_empty() && timers.is_empty(),
            "nothing should have been done{}",
            self.story()
        );
        self
    }

    /// The calls to other hosts, in order, also of a failed delivery. A finished step is called once.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// The kept log lines, also of a failed call.
    #[must_use]
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }

    /// Number of lines dropped at the limit.
    #[must_use]
    pub fn log_lines_dropped(&self) -> usize {
        self.log_lines_dropped
    }

    /// Whether an earlier item of the same key failed in the same batch, so that no effect of this one counts.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self.end, End::Blocked)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn is_completed(&self) -> bool {
        matches!(self.end, End::Completed)
    }

    pub(super) fn end(&self) -> &End {
        &self.end
    }

    pub(super) fn all_state(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.state
    }

    pub(super) fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    pub(super) fn timer_writes(&self) -> &Timers {
        &self.timers
    }

    /// The whole result, for the message of a failed check.
    pub(super) fn story(&self) -> String {
        let emitted = self.emitted.iter().map(|Emitted { r#type, key, data, .. }| {
            format!("\n  emitted {type} to {key}: {}", String::from_utf8_lossy(data))
        });
        let statuses = self
            .statuses
            .iter()
            .map(|Status { subject, state, text, data }| format!("\n  status of {subject}: {state}, {text:?}, {data}"));
        let timers = self.timers.iter().map(|(name, timer)| match timer {
            Some(Timer { due, r#type, .. }) => format!("\n  timer {name}: {type}, {due:?}"),
            None => format!("\n  timer {name}: cancelled"),
        });
        let log = self.log.iter().map(|(level, line)| format!("\n  log {level:?}: {line}"));
        emitted.chain(statuses).chain(timers).chain(log).collect()
    }
}

/// As in the contract: an emission's own subject is also its key.
fn fill_in(emission: RawEmission, subject: &str, key: &str) -> Emitted {
    let RawEmission { r#type, subject: own, key: own_key, data_content_type, data } = emission;
    let key = own_key.or_else(|| own.clone()).unwrap_or_else(|| key.to_owned());
    Emitted { r#type, subject: own.unwrap_or_else(|| subject.to_owned()), key, data_content_type, data }
}
