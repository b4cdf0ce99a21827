//! What-ifs of a simulated engine, computed and turned into repairs as the thread of what-ifs does it. Handlers are functions.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crossbeam_channel::Sender;
use weirgate_host::{BoundSecret, StateError};
use weirgate_types::{DeliveryId, HandlerName, HostCall, Position, Repaired, StepAnswer, StepRequest};

use super::{Engine, Hold};
use crate::{
    Audit, Choices, Computed, PlanId, WhatIfProgress,
    command::Command,
    handle::undone_in,
    replay::{Examined, LaneId, Load, Outside, Parts, ReplayAnswer, ReplayError, Sources, WhatIf},
    what_ifs::{
        Answers, Bounded, InForce, Looked, Made, Part, Repairing, compute_from, has_changed, look, look_at_all,
        may_call, repaired_parts,
    },
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
    /// Whether its plan is applied: then it makes the calls that the approver has allowed.
    pub is_applied: bool,
    /// Whether it has made a call. It goes no further before the answer is durable: then it is begun again.
    pub waits: Arc<AtomicBool>,
}

/// What a replay reaches outside: the answers in the log. It makes one call, and then ends.
struct Outer {
    answers: Answers,
    commands: Sender<Command>,
    waits: Arc<AtomicBool>,
}

impl Outside for Outer {
    fn answers(&self, delivery: &DeliveryId) -> Result<Vec<ReplayAnswer>, StateError> {
        self.answers.of(delivery)
    }

    fn permit(&self, _: &HandlerName, _: &str) -> Result<(), u64> {
        Ok(())
    }

    fn called(&self, _: &HandlerName, _: Vec<HostCall>) {}

    fn secret(&self, _: &HandlerName, _: &str) -> Option<BoundSecret> {
        None
    }

    fn idempotency_key(&self, delivery: &DeliveryId, step: &str) -> String {
        self.answers.idempotency_key(delivery, step)
    }

    fn record(
        &self,
        delivery: &DeliveryId,
        step: &str,
        request: &StepRequest,
        answer: &StepAnswer,
    ) -> Result<(), StateError> {
        drop(self.answers.store(&self.commands, delivery, step, (request, answer)));
        self.waits.store(true, Ordering::Relaxed);
        Err(StateError::new("the answer is not durable"))
    }
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
        compute_from(&self.sources(replay)?, &replay.request, &progress)
    }

    /// Looks at a key as it stands.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn look_at_key(&self, replay: &Replay, lane: LaneId) -> Result<LookedKey, ReplayError> {
        let (through, examined) = look(&self.sources(replay)?, &replay.request, &lane, &WhatIfProgress::default())?;
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
        let (through, lanes) = look_at_all(&self.sources(replay)?, &replay.request, Some(emitting), &watch)?;
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
        (replay, computed): (&Replay, &Computed),
        hold: &Hold,
        looked: LookedKey,
        part: u32,
    ) -> Result<KeyRepair, ReplayError> {
        let sources = self.sources(replay)?;
        let looked = match has_changed(&sources.look, &looked.lane, looked.through)? {
            true if looked.is_folded => return Ok(KeyRepair::Changed),
            true => self.look_at_key(replay, looked.lane)?,
            false => looked,
        };
        let LookedKey { lane, through, examined: Some(examined), .. } = &looked else { return Ok(KeyRepair::Nothing) };
        let Some(in_force) = self.in_force(&lane.0, replay.takes_corrected) else { return Ok(KeyRepair::Nothing) };
        let Replay { id, request, choices, audit, .. } = replay;
        let keys = choices.keys.as_ref().map(|keys| keys.iter().map(String::as_str).collect());
        let parts = match lane.0 == request.handler {
            true => repaired_parts((self.views(), &self.keys), (*id, request), computed, keys.as_ref())?,
            false => Parts::default(),
        };
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

    fn sources(&self, replay: &Replay) -> Result<Sources, ReplayError> {
        let look = Arc::new(self.handle.history().look());
        let sources = (self.views(), self.log(), &self.epochs);
        let answers = Answers::new(sources, replay.id.replay, &replay.request.handler)?;
        let outside = Outer { answers, commands: self.commands.clone(), waits: Arc::clone(&replay.waits) };
        let (modules, outside) = (Arc::clone(&replay.modules), Arc::new(outside));
        let is_undone = undone_in(self.views().clone());
        let may_call = may_call(&replay.request, replay.is_applied && replay.choices.allow_calls);
        let (calls_left, deployments) = (None, Arc::default());
        Ok(Sources { look, modules, outside, may_call, calls_left, is_undone, deployments })
    }
}
