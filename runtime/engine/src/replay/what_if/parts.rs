//! Who owns a part of a status that several keys write: the last writer by position, in the log and in the fork, in whatever order the keys
//! are repaired. Pure, but for what it asks of [`Stands`].

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
};

use weirgate_types::{Position, Record, StatusWrite};

use super::lane::{Side, StatusSides, says};

/// What stands now.
pub trait Stands {
    type Error;

    /// What the keys that differ have of each part.
    fn parts(&self) -> &Parts<'_>;

    /// The last write of the handler's part of a subject's status behind a position, without those of this key from the record `since` on,
    /// and of those that count: by record and key. Is asked about all writes behind the one that counts.
    ///
    /// # Errors
    /// The log cannot be read.
    fn last_write(
        &self,
        subject: &str,
        after: Position,
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
    shared: BTreeMap<&'a str, Shared<'a>>,
    /// Up to where they were looked at.
    through: Position,
    /// The replay that repairs them, and whether it takes repairs back: what its records say, the claims say too.
    replay: Option<(Position, bool)>,
}

/// What keys have of one part. Many may: what does not depend on the key that is asked about is found once.
#[derive(Debug, Default)]
struct Shared<'a> {
    claims: BTreeMap<&'a str, Claim<'a>>,
    /// Of keys that are repaired as in the fork, of others as in the log.
    last: LastTwo<'a>,
    /// The last write up to where the keys were looked at that no claim changes.
    settled: OnceCell<Option<PartWrite>>,
    recent: RefCell<Recent>,
}

/// Writes that have come since the keys were looked at, but for those of the replay that repairs them.
#[derive(Debug, Default)]
struct Recent {
    /// Up to where they are known.
    through: Position,
    last: Option<PartWrite>,
}

/// What a key has of a part.
#[derive(Debug)]
struct Claim<'a> {
    sides: &'a StatusSides,
    repaired: KeyIsRepaired,
    /// Up to where the key was looked at: a write behind it stands for itself.
    through: Position,
}

/// What differs of the statuses that a key sets.
#[derive(Debug, Clone, Copy)]
pub struct KeyStatuses<'a> {
    pub key: &'a str,
    pub status: &'a BTreeMap<String, StatusSides>,
    pub repaired: KeyIsRepaired,
    /// Up to where it was looked at.
    pub through: Position,
}

/// Whether a key stands as the fork has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyIsRepaired {
    No,
    /// It did before this application, or needs no repair: nothing is written for it any more.
    Before,
    /// It is one of those that this application repairs.
    Now,
}

/// What stands of a part on one side, since when, and by which key: `None` is one that does not differ.
type Owner<'a> = (Position, Option<&'a str>, Option<&'a StatusWrite>);

impl<'a> Parts<'a> {
    /// Of keys that differ, looked at up to a position, or before.
    pub fn new(keys: impl Iterator<Item = KeyStatuses<'a>>, through: Position) -> Self {
        let mut parts = Self { through, ..Self::default() };
        for KeyStatuses { key, status, repaired, through } in keys {
            for (subject, sides) in status {
                parts.shared.entry(subject).or_default().claim(key, Claim { sides, repaired, through });
            }
        }
        parts
    }

    /// Those of keys that are being repaired.
    #[must_use]
    pub fn repaired_by(self, replay: Position, is_undo: bool) -> Self {
        Self { replay: Some((replay, is_undo)), ..self }
    }

    /// Whether a record says what the claims say, because it repairs one of the keys.
    fn is_repair(&self, record: &Record) -> bool {
        let Record::Repaired(repaired) = record else { return false };
        self.replay == Some((repaired.replay, repaired.is_undo))
    }

    /// The last write of a part that stands for itself, and is not of the key itself.
    fn undisturbed<S: Stands>(
        &self,
        subject: &str,
        own: (&str, Position),
        stands: &S,
    ) -> Result<Option<PartWrite>, S::Error> {
        let Some(shared) = self.shared.get(subject) else {
            return stands.last_write(subject, Position::ZERO, own, |(_, record), _| !self.is_repair(record));
        };
        match self.recent(shared, subject, own, stands)? {
            None => self.settled(shared, subject, own, stands),
            recent => Ok(recent),
        }
    }

    fn settled<S: Stands>(
        &self,
        shared: &Shared<'_>,
        subject: &str,
        own: (&str, Position),
        stands: &S,
    ) -> Result<Option<PartWrite>, S::Error> {
        // A claim says what a repair has written since the key differs; before that, a repair is a write as any other.
        let counts = |(at, record): (Position, &Record), by: &str| {
            let claim = shared.claims.get(by);
            let is_before = claim.is_some_and(|one| at < if by == own.0 { own.1 } else { one.sides.since });
            let is_behind = claim.is_none_or(|one| at > one.through);
            at <= self.through && (is_before || is_behind && !self.is_repair(record))
        };
        // A key that needed a call comes to something else than was known of it.
        if shared.claims.get(own.0).is_some_and(|claim| claim.sides.since != own.1) {
            return stands.last_write(subject, Position::ZERO, own, counts);
        }
        let found = match shared.settled.get() {
            Some(known) => known,
            None => {
                let found = stands.last_write(subject, Position::ZERO, ANY_KEY, counts)?;
                shared.settled.get_or_init(|| found)
            }
        };
        match found {
            Some(write) if is_of(write, own) => stands.last_write(subject, Position::ZERO, own, counts),
            found => Ok(found.clone()),
        }
    }

    fn recent<S: Stands>(
        &self,
        shared: &Shared<'_>,
        subject: &str,
        own: (&str, Position),
        stands: &S,
    ) -> Result<Option<PartWrite>, S::Error> {
        let mut recent = shared.recent.borrow_mut();
        let after = recent.through.max(self.through);
        let newest = Cell::new(after);
        let counts = |(at, record): (Position, &Record), _: &str| {
            newest.set(newest.get().max(at));
            !self.is_repair(record)
        };
        if let Some(last) = stands.last_write(subject, after, ANY_KEY, counts)? {
            recent.last = Some(last);
        }
        recent.through = newest.get();
        match &recent.last {
            Some(last) if is_of(last, own) => stands.last_write(subject, self.through, own, counts),
            last => Ok(last.clone()),
        }
    }
}

/// Writes of all keys count.
const ANY_KEY: (&str, Position) = ("", Position(u64::MAX));

fn is_of(write: &PartWrite, (key, since): (&str, Position)) -> bool {
    write.by == key && write.at >= since
}

impl<'a> Shared<'a> {
    fn claim(&mut self, key: &'a str, claim: Claim<'a>) {
        let owner = match claim.repaired {
            KeyIsRepaired::No => recorded_of(key, claim.sides),
            KeyIsRepaired::Before | KeyIsRepaired::Now => fork_of(key, claim.sides),
        };
        if let Some(owner) = owner {
            self.last.add(owner);
        }
        self.claims.insert(key, claim);
    }
}

/// The last of the keys' owners, and the last of another key; each key has one at most.
#[derive(Debug, Default)]
struct LastTwo<'a>([Option<Owner<'a>>; 2]);

impl<'a> LastTwo<'a> {
    fn add(&mut self, new: Owner<'a>) {
        let Self([last, other]) = self;
        let is_behind = |old: &Option<Owner<'_>>| old.is_none_or(|(at, by, _)| (at, by) < (new.0, new.1));
        if is_behind(last) {
            *other = last.replace(new);
        } else if is_behind(other) {
            *other = Some(new);
        }
    }

    fn of_others(&self, key: &str) -> Option<Owner<'a>> {
        self.0.iter().flatten().find(|(_, by, _)| *by != Some(key)).copied()
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
    let (parts, own) = (stands.parts(), (key, sides.since));
    let before = parts.undisturbed(subject, own, stands)?;
    let undisturbed = before.as_ref().map(|write| (write.at, None, write.status.as_ref()));
    let shared = parts.shared.get(subject);
    let others = shared.and_then(|shared| shared.last.of_others(key));
    let [stood, stands_now] =
        [recorded_of(key, sides), fork_of(key, sides)].map(|own| last([undisturbed, others, own]));
    let is_own = |owner: &Option<Owner<'_>>| owner.is_some_and(|(_, by, _)| by == Some(key));
    let claim_of = |by: &str| shared.and_then(|shared| shared.claims.get(by));
    // The other key's own repair writes it; one that was repaired before does not any more.
    let is_left_to_another = stands_now
        .and_then(|(_, by, _)| by)
        .is_some_and(|by| by != key && claim_of(by).is_some_and(|claim| claim.repaired == KeyIsRepaired::Now));
    if is_left_to_another || !is_own(&stood) && !is_own(&stands_now) {
        return Ok(None);
    }
    // What is shown may be what another key's repair has written meanwhile.
    let beside = stands.last_write(subject, Position::ZERO, own, |_, _| true)?;
    let beside = beside.as_ref().map(|write| (write.at, None, write.status.as_ref()));
    let shown = last([beside, recorded_of(key, sides)]);
    let [now, shown] = [stands_now, shown].map(|owner| owner.and_then(|(_, _, status)| status));
    Ok(Some(match now {
        now if says(now, shown) => PartChange::Nothing,
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

fn recorded_of<'a>(key: &'a str, sides: &'a StatusSides) -> Option<Owner<'a>> {
    owner(key, sides, (&sides.recorded, sides.recorded_at))
}

fn fork_of<'a>(key: &'a str, sides: &'a StatusSides) -> Option<Owner<'a>> {
    owner(key, sides, (&sides.fork, sides.fork_at))
}

fn owner<'a>(key: &'a str, sides: &'a StatusSides, (side, at): (&'a Side, Position)) -> Option<Owner<'a>> {
    match side {
        Side::Written(write) => Some((at, Some(key), Some(write))),
        Side::Unset => Some((at, Some(key), None)),
        // What is earlier is found among the writes that no claim changes.
        Side::AsBefore => sides.stood_since().map(|(at, status)| (at, Some(key), Some(status))),
    }
}

/// The last one by position; of those that one record holds, one that differs, and of these the last by key.
fn last<const N: usize>(owners: [Option<Owner<'_>>; N]) -> Option<Owner<'_>> {
    owners.into_iter().flatten().max_by_key(|(at, by, _)| (*at, *by))
}
