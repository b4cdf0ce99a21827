//! Who owns a part of a status that several keys write: the last writer by position, in the log and in the fork, in whatever order the keys
//! are repaired. Pure, but for what it asks of [`Stands`].

use std::collections::BTreeMap;

use weirgate_types::{Position, Record, StatusWrite};

use super::{
    lane::{Side, StatusSides},
    notes::Examined,
};

/// What stands now.
pub trait Stands {
    type Error;

    /// What the keys that differ have of each part.
    fn parts(&self) -> &Parts<'_>;

    /// The last write of the handler's part of a subject's status, without those of this key from the record `since` on, and of those that
    /// count: by record and key.
    ///
    /// # Errors
    /// The log cannot be read.
    fn last_write(
        &self,
        subject: &str,
        without: (&str, Position),
        counts: impl Fn((Position, &Record), &str) -> bool,
    ) -> Result<Option<PartWrite>, Self::Error>;
}

/// A write of the handler's part of a subject's status, and the record that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartWrite {
    pub at: Position,
    /// The key that wrote it.
    pub by: String,
    /// `None`: a repair removed it.
    pub status: Option<StatusWrite>,
}

/// What the keys that differ have of the parts that they write, and which of these keys are repaired together.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    claims: BTreeMap<&'a str, Vec<Claim<'a>>>,
    /// Up to where they were looked at.
    through: Position,
    /// The replay that repairs them, and whether it takes repairs back: what its records say, the claims say too.
    replay: Option<(Position, bool)>,
}

/// What a key has of a part.
#[derive(Debug)]
struct Claim<'a> {
    key: &'a str,
    sides: &'a StatusSides,
    /// Whether the key is repaired, now or before: then it stands as the fork has it.
    is_repaired: bool,
}

/// What stands of a part on one side, since when, and by which key: `None` is one that does not differ.
type Owner<'a> = (Position, Option<&'a str>, Option<&'a StatusWrite>);

impl<'a> Parts<'a> {
    /// # Errors
    /// Those of `is_repaired`.
    pub fn new<E>(
        examined: impl Iterator<Item = (&'a str, &'a Examined)>,
        through: Position,
        is_repaired: impl Fn(&str, &Examined) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut claims: BTreeMap<&str, Vec<Claim<'_>>> = BTreeMap::new();
        for (key, examined) in examined.filter(|(_, examined)| !examined.lane.status().is_empty()) {
            let is_repaired = is_repaired(key, examined)?;
            for (subject, sides) in examined.lane.status() {
                claims.entry(subject).or_default().push(Claim { key, sides, is_repaired });
            }
        }
        Ok(Self { claims, through, replay: None })
    }

    /// Those of keys that are being repaired.
    #[must_use]
    pub fn repaired_by(self, replay: Position, is_undo: bool) -> Self {
        Self { replay: Some((replay, is_undo)), ..self }
    }

    fn of(&self, subject: &str) -> &[Claim<'a>] {
        self.claims.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Whether a write of a part stands for itself, and no claim does.
    fn counts(&self, subject: &str, (at, record): (Position, &Record), by: &str) -> bool {
        if let Record::Repaired(repaired) = record
            && self.replay == Some((repaired.replay, repaired.is_undo))
        {
            return false;
        }
        let is_in = |claim: &Claim<'_>| claim.key == by && claim.sides.since <= at && at <= self.through;
        !self.of(subject).iter().any(is_in)
    }
}

/// What the repair of a key writes of a part. `None`: another key owns it, so its record says nothing of it.
///
/// # Errors
/// Those of `stands`.
pub fn owned<S: Stands>(
    key: &str,
    (subject, sides): (&str, &StatusSides),
    stands: &S,
) -> Result<Option<PartChange>, S::Error> {
    let (parts, without) = (stands.parts(), (key, sides.since));
    let before = stands.last_write(subject, without, |record, by| parts.counts(subject, record, by))?;
    let others = || parts.of(subject).iter().filter(|claim| claim.key != key);
    let undisturbed = || before.as_ref().map(|write| (write.at, None, write.status.as_ref()));
    let recorded = |key, sides| owner(key, recorded_of(sides));
    let fork = |key, sides| owner(key, fork_of(sides));
    let others_in_log = others().filter_map(|claim| recorded(claim.key, claim.sides));
    let in_log = last(undisturbed(), others_in_log, recorded(key, sides));
    let others_in_fork = others().filter_map(|claim| match claim.is_repaired {
        true => fork(claim.key, claim.sides),
        false => recorded(claim.key, claim.sides),
    });
    let in_fork = last(undisturbed(), others_in_fork, fork(key, sides));
    let is_own = |owner: &Option<Owner<'_>>| owner.is_some_and(|(_, by, _)| by == Some(key));
    let is_repaired = |by: &str| others().any(|claim| claim.key == by && claim.is_repaired);
    let is_left_to_another = in_fork.and_then(|(_, by, _)| by).is_some_and(|by| by != key && is_repaired(by));
    if is_left_to_another || !is_own(&in_fork) && !is_own(&in_log) {
        return Ok(None);
    }
    // What is shown may be what another key's repair has written meanwhile.
    let beside = stands.last_write(subject, without, |_, _| true)?;
    let shown = last(beside.as_ref().map(|write| (write.at, None, write.status.as_ref())), [], recorded(key, sides));
    let [now, shown] = [in_fork, shown].map(|owner| owner.and_then(|(_, _, status)| status));
    Ok(Some(match now {
        now if now == shown => PartChange::Nothing,
        Some(write) => PartChange::Set(write.clone()),
        None => PartChange::Unset,
    }))
}

/// What a repair says of a part that its key owns, or owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartChange {
    /// It stands as it is.
    Nothing,
    Set(StatusWrite),
    Unset,
}

fn recorded_of(sides: &StatusSides) -> (&Side, Position) {
    (&sides.recorded, sides.recorded_at)
}

fn fork_of(sides: &StatusSides) -> (&Side, Position) {
    (&sides.fork, sides.fork_at)
}

fn owner<'a>(key: &'a str, (side, at): (&'a Side, Position)) -> Option<Owner<'a>> {
    match side {
        Side::Written(write) => Some((at, Some(key), Some(write))),
        Side::Unset => Some((at, Some(key), None)),
        Side::AsBefore => None,
    }
}

/// The last one by position; of those that one record holds, one that differs, and of these the last by key.
fn last<'a>(
    undisturbed: Option<Owner<'a>>,
    others: impl IntoIterator<Item = Owner<'a>>,
    own: Option<Owner<'a>>,
) -> Option<Owner<'a>> {
    undisturbed.into_iter().chain(others).chain(own).max_by_key(|(at, by, _)| (*at, *by))
}
