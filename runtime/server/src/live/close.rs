//! Why a live connection ends: the close codes of `weirgate.v1`, and those of RFC 6455.

use super::{SUBJECTS_MAX, follows::REPLAYS_MAX, websocket::Violation};

/// A close code and a reason. Those of `weirgate.v1` have a stable word, sent in an `error` frame before.
#[derive(Debug, PartialEq, Eq)]
pub struct Close {
    /// `None` answers a close frame without a code.
    pub code: Option<u16>,
    pub word: Option<&'static str>,
    pub reason: String,
    /// Whether the peer will send no close frame any more: it has, or what it sends can no longer be understood.
    pub is_answered: bool,
}

impl Close {
    fn new(code: u16, word: &'static str, reason: impl Into<String>) -> Self {
        Self { code: Some(code), word: Some(word), reason: reason.into(), is_answered: false }
    }

    /// The answer to the peer's close frame: its own code.
    pub fn answer(code: Option<u16>) -> Self {
        Self { code, word: None, reason: String::new(), is_answered: true }
    }

    pub fn violated(violation: Violation) -> Self {
        let (code, reason) = violation.close();
        Self { code: Some(code), word: None, reason: reason.into(), is_answered: true }
    }

    pub fn going_away() -> Self {
        Self { code: Some(1001), word: None, reason: "the server is stopping".into(), is_answered: false }
    }

    pub fn internal() -> Self {
        Self::new(1011, "internal", "internal error; see the server's log")
    }

    pub fn slow() -> Self {
        Self::new(4000, "slow", "nothing was read for too long")
    }

    pub fn over_budget() -> Self {
        Self::new(4001, "over-budget", "the server watches as many subjects as it may")
    }

    pub fn silent() -> Self {
        Self::new(4002, "silent", "a ping was not answered in time")
    }

    pub fn bad_message(reason: impl Into<String>) -> Self {
        Self::new(4500, "bad-message", reason)
    }

    pub fn too_many_subjects() -> Self {
        Self::new(4501, "too-many-subjects", format!("at most {SUBJECTS_MAX} subjects a connection"))
    }

    pub fn too_many_replays() -> Self {
        Self::new(4504, "too-many-replays", format!("at most {REPLAYS_MAX} replays a connection"))
    }

    /// Found when the page asks for more than statuses.
    pub fn not_own_page() -> Self {
        Self::new(4502, "origin-not-allowed", "pages of other origins may follow statuses, nothing else")
    }

    pub fn bad_subject(reason: String) -> Self {
        Self::new(4503, "bad-subject", reason)
    }
}
