//! What a what-if is about: a candidate, and which deliveries it is tried on. Pure.

use serde::{Deserialize, Serialize};
use weirgate_types::{Digest, HandlerName, Position};

use super::{calls::MissingAnswers, filter::Filter};

/// Maximum number of keys or types that a selection names.
const NAMED_MAX: usize = 1_000;

/// A what-if, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    pub handler: HandlerName,
    pub runs: Runs,
    pub selection: Selection,
    #[serde(default)]
    pub missing_answers: MissingAnswers,
    #[serde(default)]
    pub bounds: Bounds,
    /// The last position that is looked at.
    pub through: Position,
    /// By the wall clock, in Unix milliseconds: timers that were due then are past.
    pub asked_at_ms: u64,
}

/// What is different in the fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// The candidate handles the selected deliveries.
    Candidate(Candidate),
    /// The keys were not repaired by this replay; the selection names nothing.
    Without(Position),
}

/// What runs in the fork in place of what ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub module: Digest,
    /// As JSON.
    pub manifest: String,
    /// The deployment that it is, if it is one.
    pub version: Option<Position>,
}

/// Which deliveries the candidate handles. All that is named has to apply; what follows of a key with differences is executed again under
/// the version that handled it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Events after this position.
    pub after: Position,
    /// Events up to this position.
    pub through: Option<Position>,
    /// Accepted at or after this time, in Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Accepted before this time.
    pub until_ms: Option<u64>,
    /// Any of these keys.
    pub keys: Vec<String>,
    /// Any of these types; `*` as in subscriptions.
    pub types: Vec<String>,
    pub outcome: Option<Closed>,
    /// Handled by this deployment, or not taken by it while it was in force.
    pub version: Option<Position>,
    /// Conditions on the event's data; all have to apply.
    pub filter: Vec<Filter>,
    /// Deliveries that read this value of the state.
    pub read_state: Option<String>,
}

/// How a delivery was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    Completed,
    DeadLettered,
}

/// Limits of a what-if; what lies beyond is reported as not examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Keys with differences.
    pub keys: u64,
    pub cpu_seconds: u64,
    /// Bytes of differences in memory.
    pub bytes: u64,
    /// Outbound calls without a recorded answer that are made.
    pub calls: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { keys: 100_000, cpu_seconds: 3_600, bytes: 256 << 20, calls: 1_000 }
    }
}

/// A delivery, as far as a selection asks.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub event: Position,
    /// When its event was accepted.
    pub at_ms: u64,
    pub key: &'a str,
    pub r#type: &'a str,
    pub data: &'a [u8],
    /// `None` for a delivery that the log does not hold.
    pub closed: Option<Closed>,
    /// The deployment that handled it, or that was in force and did not take the event.
    pub version: Position,
}

impl Selection {
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let counts = [("keys", self.keys.len()), ("types", self.types.len()), ("filter", self.filter.len())];
        for (what, count) in counts {
            if count > NAMED_MAX {
                return Err(format!("`{what}` names {count}; at most {NAMED_MAX} are allowed"));
            }
        }
        for pattern in &self.types {
            weirgate_types::check_types("a pattern", pattern).map_err(|error| format!("`types`: {error}"))?;
        }
        if self.read_state.as_ref().is_some_and(String::is_empty) {
            return Err("`read_state` is empty: no value of the state has an empty name".into());
        }
        if self.through.is_some_and(|through| through <= self.after) {
            return Err("`through` is not behind `after`".into());
        }
        if self.since_ms.zip(self.until_ms).is_some_and(|(since, until)| until <= since) {
            return Err("`until` is not later than `since`".into());
        }
        Ok(())
    }

    /// Whether it certainly takes all that another one takes, of the deliveries from its first one on and of a key that both leave in.
    #[must_use]
    pub fn takes_all_of(&self, other: &Self) -> bool {
        let Self { after: _, through, since_ms: _, until_ms, keys: _, types, outcome, version, filter, read_state } =
            self;
        is_no_earlier(through.as_ref(), other.through.as_ref())
            && is_no_earlier(until_ms.as_ref(), other.until_ms.as_ref())
            && (types.is_empty() || !other.types.is_empty() && other.types.iter().all(|one| types.contains(one)))
            && (outcome.is_none() || *outcome == other.outcome)
            && (version.is_none() || *version == other.version)
            && filter.iter().all(|one| other.filter.contains(one))
            && (read_state.is_none() || *read_state == other.read_state)
    }

    /// Whether it leaves all keys in that another one leaves in.
    #[must_use]
    pub fn names_all_of(&self, other: &Self) -> bool {
        self.keys.is_empty() || !other.keys.is_empty() && other.keys.iter().all(|key| self.names(key))
    }

    /// Whether it leaves a key in.
    #[must_use]
    pub fn names(&self, key: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|one| one == key)
    }

    /// Whether the candidate handles a delivery; what one of the log has read is asked for separately.
    #[must_use]
    pub fn takes(&self, facts: Facts<'_>) -> bool {
        let Facts { event, at_ms, key, r#type, data, closed, version } = facts;
        event > self.after
            && self.through.is_none_or(|through| event <= through)
            && self.since_ms.is_none_or(|since| at_ms >= since)
            && self.until_ms.is_none_or(|until| at_ms < until)
            && self.names(key)
            && (self.types.is_empty() || self.types.iter().any(|pattern| weirgate_types::glob(pattern, r#type)))
            && self.outcome.is_none_or(|outcome| closed == Some(outcome))
            && self.version.is_none_or(|wanted| wanted == version)
            && (self.read_state.is_none() || closed.is_some())
            && Filter::all_apply(&self.filter, data)
    }
}

/// Whether an end of a range is that of another range or comes later; without one it has no end.
fn is_no_earlier<T: Ord>(end: Option<&T>, other: Option<&T>) -> bool {
    end.is_none_or(|end| other.is_some_and(|other| end >= other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> = Facts {
        event: Position(10),
        at_ms: 1_000,
        key: "order/o-1",
        r#type: "order.placed",
        data: br#"{"total":5}"#,
        closed: Some(Closed::Completed),
        version: Position(3),
    };

    type Change = fn(&mut Selection);

    #[test]
    fn all_that_a_selection_names_has_to_apply() {
        assert!(Selection::default().takes(FACTS));
        let takes: [Change; 9] = [
            |selection| selection.after = Position(9),
            |selection| selection.through = Some(Position(10)),
            |selection| selection.since_ms = Some(1_000),
            |selection| selection.until_ms = Some(1_001),
            |selection| selection.keys = vec!["other".into(), "order/o-1".into()],
            |selection| selection.types = vec!["order.*".into()],
            |selection| selection.outcome = Some(Closed::Completed),
            |selection| selection.version = Some(Position(3)),
            |selection| selection.filter = vec!["/total > 4".parse().expect("a filter")],
        ];
        let leaves: [Change; 9] = [
            |selection| selection.after = Position(10),
            |selection| selection.through = Some(Position(9)),
            |selection| selection.since_ms = Some(1_001),
            |selection| selection.until_ms = Some(1_000),
            |selection| selection.keys = vec!["order/o-2".into()],
            |selection| selection.types = vec!["payment.*".into()],
            |selection| selection.outcome = Some(Closed::DeadLettered),
            |selection| selection.version = Some(Position(4)),
            |selection| selection.filter.push("/total > 5".parse().expect("a filter")),
        ];
        let mut all = Selection::default();
        for (index, (takes, leaves)) in takes.iter().zip(leaves).enumerate() {
            takes(&mut all);
            assert!(all.takes(FACTS), "{index}: {all:?}");
            let mut one = all.clone();
            leaves(&mut one);
            assert!(!one.takes(FACTS), "{index}: {one:?}");
        }
    }

    #[test]
    fn types_are_patterns_that_a_subscription_could_have() {
        let check = |types: &str| Selection { types: vec![types.into()], ..Selection::default() }.check();
        for right in ["order.*", "*", &"a".repeat(256), &"*a".repeat(8)] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in ["", "a\nb", &"a".repeat(257), &"*a".repeat(9)] {
            assert!(check(wrong).is_err_and(|error| error.contains("types")), "{wrong}");
        }
    }

    #[test]
    fn events_that_a_version_did_not_take_are_its_own_too() {
        let left = Facts { closed: None, ..FACTS };
        let of = |version| Selection { version: Some(Position(version)), ..Selection::default() };
        assert!(of(3).takes(left), "it was in force, and a candidate may take the event");
        assert!(!of(4).takes(left));
        let selection = Selection { outcome: Some(Closed::Completed), ..of(3) };
        assert!(!selection.takes(left), "it has no outcome");
        let selection = Selection { read_state: Some("n".into()), ..of(3) };
        assert!(!selection.takes(left) && selection.takes(FACTS), "nothing has read the state for it");
    }

    #[test]
    fn selections_that_cannot_apply_are_refused() {
        let selection = Selection { after: Position(5), through: Some(Position(5)), ..Selection::default() };
        assert!(selection.check().is_err_and(|reason| reason.contains("`through`")));
        let selection = Selection { since_ms: Some(5), until_ms: Some(5), ..Selection::default() };
        assert!(selection.check().is_err_and(|reason| reason.contains("`until` is not later than `since`")));
        let selection = Selection { read_state: Some(String::new()), ..Selection::default() };
        assert!(selection.check().is_err_and(|reason| reason.contains("`read_state` is empty")));
        let selection = Selection { keys: vec!["k".into(); NAMED_MAX + 1], ..Selection::default() };
        assert!(selection.check().is_err_and(|reason| reason.contains("1001")));
        let selection = Selection { keys: vec!["k".into(); NAMED_MAX], ..Selection::default() };
        assert_eq!(selection.check(), Ok(()));
    }
}
