//! What-ifs of a simulated engine, computed and turned into repairs as the thread of what-ifs does it. Handlers are functions.

use std::{collections::BTreeSet, sync::Arc};

use weirgate_types::{HandlerName, Position, Repaired};

use super::{Engine, Hold};
use crate::{
    Audit, Choices, Computed, PlanId, WhatIfProgress,
    handle::undone_in,
    replay::{Examined, LaneId, Load, MayCall, NoOutside, Parts, ReplayError, Sources, WhatIf},
    what_ifs::{Bounded, InForce, Looked, Made, Part, Repairing, compute_from, has_changed, look, look_at_all},
};

/// A what-if, or the undo of one, and what it is applied with.
#[derive(Clone)]
pub struct Replay {
    pub id: PlanId,
    pub request: WhatIf,
    pub choices: Choices,
    pub audit: Audit,
    pub modules: Arc<dyn Load>,
    /// Whether handlers are asked to compensate what cannot be taken back.
    pub takes_corrected: bool,
}

/// A key as it was looked at.
pub struct LookedKey {
    lane: LaneId,
    through: Position,
    examined: Option<Examined>,
    /// Whether it is a receiver's that may be folded again: what it comes to depends on other keys, so it is not looked at alone.
    is_folded: bool,
}

impl LookedKey {
    #[must_use]
    pub fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// Up to where it was looked at.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }
}

/// What an application does about a key that is on hold.
#[derive(Debug)]
pub enum KeyRepair {
    Nothing,
    Refused(String),
    /// It is another one by now, and is to be looked at with the others again.
    Changed,
    /// `is_all`: nothing is left to another record.
    Record {
        repaired: Box<Repaired>,
        is_all: bool,
    },
}

impl Engine {
    /// # Errors
    /// An input cannot be read.
    pub fn compute(&self, replay: &Replay) -> Result<Computed, ReplayError> {
        let watch = WhatIfProgress::default();
        let progress = Bounded::new(&watch, &replay.request);
        compute_from(&self.sources(replay), &replay.request, &progress)
    }

    /// Looks at a key as it stands.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn look_at_key(&self, replay: &Replay, lane: LaneId) -> Result<LookedKey, ReplayError> {
        let (through, examined) = look(&self.sources(replay), &replay.request, &lane, &WhatIfProgress::default())?;
        Ok(LookedKey { lane, through, examined, is_folded: false })
    }

    /// Looks at the keys of receivers that stand otherwise than if they had had from the beginning what these keys of the handler emit.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn look_at_receivers(
        &self,
        replay: &Replay,
        emitting: &BTreeSet<LaneId>,
    ) -> Result<Vec<LookedKey>, ReplayError> {
        let watch = WhatIfProgress::default();
        let (through, lanes) = look_at_all(&self.sources(replay), &replay.request, Some(emitting), &watch)?;
        let of_receivers = lanes.into_iter().filter(|(lane, _)| lane.0 != replay.request.handler);
        let looked = |(lane, examined)| LookedKey { lane, through, examined: Some(examined), is_folded: true };
        Ok(of_receivers.map(looked).collect())
    }

    /// The next record of a key that is on hold, and was looked at before that.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn repair_of(
        &self,
        replay: &Replay,
        hold: &Hold,
        looked: LookedKey,
        part: u32,
    ) -> Result<KeyRepair, ReplayError> {
        let sources = self.sources(replay);
        let looked = match has_changed(&sources.look, &looked.lane, looked.through)? {
            true if looked.is_folded => return Ok(KeyRepair::Changed),
            true => self.look_at_key(replay, looked.lane)?,
            false => looked,
        };
        let LookedKey { lane, through, examined: Some(examined), .. } = &looked else { return Ok(KeyRepair::Nothing) };
        let Some(in_force) = self.in_force(&lane.0, replay.takes_corrected) else { return Ok(KeyRepair::Nothing) };
        let Replay { id, request, choices, audit, .. } = replay;
        // In a history, each key has a status of its own.
        let parts = Parts::default();
        let repairing = Repairing { id: *id, request, choices, audit, parts: &parts };
        let looked = Looked { lane, through: *through, examined, part, at_ms: hold.at_ms() };
        Ok(match repairing.record(&sources, &looked, &in_force)? {
            Made::Record { repaired, is_all } => KeyRepair::Record { repaired, is_all },
            Made::Not(Part::Refused(reason) | Part::Waits(reason)) => KeyRepair::Refused(reason),
            Made::Not(_) => KeyRepair::Nothing,
        })
    }

    fn in_force(&self, handler: &HandlerName, takes_corrected: bool) -> Option<InForce> {
        let item = self.handlers().into_iter().find(|item| item.name == *handler)?;
        Some(InForce { version: item.version, state_version: item.manifest.state_version, takes_corrected })
    }

    fn sources(&self, replay: &Replay) -> Sources {
        let look = Arc::new(self.handle.history().look());
        let (modules, outside) = (Arc::clone(&replay.modules), Arc::new(NoOutside));
        let is_undone = undone_in(self.views().clone());
        let (calls_left, deployments) = (None, Arc::default());
        Sources { look, modules, outside, may_call: MayCall::Nothing, calls_left, is_undone, deployments }
    }
}
