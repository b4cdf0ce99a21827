//! Folds receivers again: what they would have come to, had they had the right events from the beginning, takes the place of what they
//! have come to with the appended ones, which came late.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use weirgate_types::{HandlerName, Position};

use super::{
    Bounded, Watch,
    apply::{Applying, Refused, is_busy},
    repair::{Looked, Part, has_changed},
};
use crate::{
    Refusal,
    replay::{Examined, LaneId, Progress as _, ReplayError, Sources, WhatIf},
};

/// How often receivers are looked at again that change meanwhile, or whose repair has several records.
const ROUNDS_MAX: u32 = 20;
/// How often it is looked whether a receiver has handled what was appended, and the time between.
const WAITS_MAX: u32 = 300;
const WAIT: Duration = Duration::from_millis(200);

/// What came of the receivers.
#[derive(Default)]
pub struct Folded {
    pub repaired: BTreeSet<LaneId>,
    pub refused: Refused,
}

/// What differs on all keys now, and up to where that was looked at; `emitting` as for [`Sources::examine_once`].
pub fn look_at_all(
    sources: &Sources,
    request: &WhatIf,
    emitting: Option<&BTreeSet<LaneId>>,
    watch: &Watch,
) -> Result<(Position, BTreeMap<LaneId, Examined>), ReplayError> {
    let through = sources.look.log().head();
    let request = WhatIf { through, ..request.clone() };
    let progress = Bounded::new(watch, &request);
    progress.go_on(through, 0)?;
    Ok((through, sources.examine_once(&request, emitting, &progress)?))
}

impl Applying<'_> {
    /// Folds the approved receivers again; `keys` are those of the handler that are repaired.
    pub fn fold(&self, keys: BTreeSet<String>) -> Result<Folded, ReplayError> {
        let mut folded = Folded::default();
        let appended = self.sources()?.look.log().head();
        let mut handlers = BTreeSet::new();
        for handler in &self.asked.choices.fold_again {
            match self.is_behind(handler, appended)? {
                Some(reason) => folded.refused.add(handler.to_string(), &reason),
                None => drop(handlers.insert(handler.clone())),
            }
        }
        let standing: BTreeSet<LaneId> = keys.into_iter().map(|key| (self.request.handler.clone(), key)).collect();
        if handlers.is_empty() || standing.is_empty() {
            return Ok(folded);
        }
        let differing = self.computed()?.emitting(standing);
        let (mut refused, mut whole) = (Refused::default(), BTreeSet::new());
        for round in 0..ROUNDS_MAX {
            refused = Refused::default();
            let mut is_over = true;
            let (through, mut lanes) = self.look_at_all(Some(&differing))?;
            lanes.retain(|lane, _| handlers.contains(&lane.0) && !whole.contains(lane));
            for (lane, examined) in &lanes {
                let name = || format!("{} {}", lane.0, lane.1);
                match self.looked_at(lane, (through, examined), round) {
                    Ok(Part::Nothing) => {}
                    Ok(Part::Refused(reason) | Part::Waits(reason)) => refused.add(name(), &reason),
                    Ok(Part::Whole) => {
                        folded.repaired.insert(lane.clone());
                        whole.insert(lane.clone());
                    }
                    Ok(Part::More) => {
                        is_over = false;
                        folded.repaired.insert(lane.clone());
                    }
                    // It changed meanwhile, or took too long.
                    Err(ReplayError::Refused(refusal)) if is_busy(&refusal) => {
                        is_over = false;
                        refused.add(name(), &refusal.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            if is_over {
                break;
            }
        }
        folded.refused.append(refused);
        Ok(folded)
    }

    /// Waits until a receiver has handled everything up to a position; why it has not.
    fn is_behind(&self, handler: &HandlerName, through: Position) -> Result<Option<String>, ReplayError> {
        let mut checkpoint = Position::ZERO;
        for _ in 0..WAITS_MAX {
            if self.known.watch.is_cancelled() {
                return Err(ReplayError::Cancelled);
            }
            let item = match self.runtime.block_on(self.handle.handler(handler.clone())) {
                Err(refusal @ Refusal::UnknownHandler(_)) => return Ok(Some(refusal.to_string())),
                item => item?,
            };
            if item.checkpoint >= through {
                return Ok(None);
            }
            checkpoint = item.checkpoint;
            thread::park_timeout(WAIT);
        }
        Ok(Some(format!(
            "it has open deliveries before position {through} (its checkpoint is {checkpoint}): what was appended has to be handled \
             before it is folded again; apply again later"
        )))
    }

    /// See [`look_at_all`].
    pub fn look_at_all(
        &self,
        emitting: Option<&BTreeSet<LaneId>>,
    ) -> Result<(Position, BTreeMap<LaneId, Examined>), ReplayError> {
        look_at_all(&self.sources()?, self.request, emitting, &self.known.watch)
    }

    /// Repairs a key, if it is as it was looked at.
    pub fn looked_at(
        &self,
        lane: &LaneId,
        (through, examined): (Position, &Examined),
        part: u32,
    ) -> Result<Part, ReplayError> {
        self.check_version()?;
        let hold = self.runtime.block_on(self.handle.hold_key(lane.0.clone(), lane.1.clone()))?;
        if has_changed(&self.shared.indexing.history.look(), lane, through)? {
            return Err(Refusal::HoldOver.into());
        }
        let at_ms = hold.at_ms();
        self.append(&Looked { lane, through, examined, part, at_ms }, hold)
    }
}
