//! Looks at what keys come to, again and again: each look goes on from the one before, and takes in what has come since. So what is left for
//! the moment in which a key is on hold is little, however long the key's story is and however often it is written on.

use weirgate_types::Position;

use super::{
    Bounded, Watch,
    apply::Applying,
    repair::{Looked, Part},
};
use crate::replay::{Examined, Folding, KeptFold, LaneId, Parts, Progress as _, ReplayError, Sources, WhatIf};

/// How few records are left to the time of the hold without another look before it.
const LEFT_MAX: u64 = 32;
/// How often it is looked before a hold.
const LOOKS_MAX: u32 = 16;

/// The looks of an application at a key, or at all keys.
pub struct Looks {
    folding: Folding,
    kept: Option<KeptFold>,
}

impl Looks {
    pub fn new(folding: Folding) -> Self {
        Self { folding, kept: None }
    }

    /// The handlers and keys that differ, as of the last look.
    pub fn examined(&self) -> impl Iterator<Item = (&LaneId, &Examined)> {
        self.kept.iter().flat_map(KeptFold::all)
    }

    /// What differs on a key, as of the last look; `None`: nothing.
    pub fn examined_of(&self, lane: &LaneId) -> Option<&Examined> {
        self.kept.as_ref()?.examined(lane)
    }

    /// Up to where it was looked last.
    pub fn through(&self) -> Position {
        self.kept.as_ref().map_or(Position::ZERO, KeptFold::through)
    }
}

/// What keys come to up to a position, which the log had reached when the sources were made.
pub fn look(
    sources: &Sources,
    (folding, kept): (&Folding, Option<KeptFold>),
    through: Position,
    watch: &Watch,
) -> Result<KeptFold, ReplayError> {
    let request = WhatIf { through, ..folding.request().clone() };
    let progress = Bounded::new(watch, &request);
    progress.go_on(through, 0)?;
    sources.fold(folding, through, kept, &progress)
}

/// Whether another look may leave less to the time of the hold, after one that took `taken` records, and one before that took `before`.
fn is_another_worth_it(taken: u64, before: u64) -> bool {
    // The time that a look takes is what the next one has to take in.
    taken > LEFT_MAX && taken < before.saturating_sub(before / 8)
}

impl Applying<'_> {
    /// Takes in what has come.
    pub fn look_on(&self, looks: &mut Looks) -> Result<(), ReplayError> {
        // The index that the sources have is at least of there.
        let through = self.shared.statuses.log.head();
        let asked = (&looks.folding, looks.kept.take());
        looks.kept = Some(look(&self.sources()?, asked, through, &self.known.watch)?);
        Ok(())
    }

    fn look_until_little_is_left(&self, looks: &mut Looks) -> Result<(), ReplayError> {
        let mut before = u64::MAX;
        for _ in 0..LOOKS_MAX {
            self.look_on(looks)?;
            let taken = looks.kept.as_ref().map_or(0, KeptFold::taken);
            if !is_another_worth_it(taken, before) {
                break;
            }
            before = taken;
        }
        Ok(())
    }

    /// Looks at a key, holds it, takes in what came meanwhile, and appends one record, if it comes to what was approved; without `is_as_approved`, to
    /// whatever it comes. `parts` are those that keys of its handler write.
    pub fn part(
        &self,
        lane: &LaneId,
        looks: &mut Looks,
        (part, is_as_approved): (u32, bool),
        parts: &Parts<'_>,
    ) -> Result<Part, ReplayError> {
        self.check_version()?;
        self.look_until_little_is_left(looks)?;
        let hold = self.runtime.block_on(self.handle.hold_key(lane.0.clone(), lane.1.clone()))?;
        let at_ms = hold.wall_ms();
        self.look_on(looks)?;
        let Some(fold) = &looks.kept else { return Ok(Part::Nothing) };
        let (through, examined) = (fold.through(), fold.examined(lane));
        if is_as_approved && let Some(part) = self.is_otherwise(lane, examined)? {
            return Ok(part);
        }
        match examined {
            Some(examined) => self.append(&Looked { lane, through, examined, part, at_ms }, hold, parts),
            None => Ok(Part::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_again_while_that_leaves_less() {
        let looks = |taken: &[u64]| {
            let before = std::iter::once(u64::MAX).chain(taken.iter().copied());
            let worth_it = taken.iter().zip(before).take_while(|(taken, before)| is_another_worth_it(**taken, *before));
            worth_it.count() + 1
        };
        assert_eq!(looks(&[20]), 1, "a short story");
        assert_eq!(looks(&[3_000, 300, 30, 3]), 3, "what comes is less each time");
        assert_eq!(looks(&[3_000, 290, 280, 270]), 3, "it does not become much less any more");
        assert_eq!(looks(&[3_000, 4_000, 5_000]), 2, "more comes than is taken in");
    }
}
