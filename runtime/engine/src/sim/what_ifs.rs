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
    Audit, Choices, Computed, PlanId, StorageError, WhatIfProgress,
    command::Command,
    handle::{StoredRepairs, undo_after},
    replay::{Folding, KeptFold, LaneId, Load, Outside, Parts, ReplayAnswer, ReplayError, Sources, WhatIf},
    what_ifs::{
        Answers, Bounded, InForce, Looked, Made, Part, Repairing, compute_from, look, may_call, repaired_parts,
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
    keys: LookedKeys,
}

/// What was looked at, to be gone on with: one key, or all of them.
pub struct LookedKeys {
    folding: Folding,
    fold: KeptFold,
}

impl LookedKeys {
    /// The keys that differ.
    #[must_use]
    pub fn lanes(&self) -> Vec<LaneId> {
        self.fold.all().map(|(lane, _)| lane.clone()).collect()
    }

    #[must_use]
    pub fn of(self, lane: LaneId) -> LookedKey {
        LookedKey { lane, keys: self }
    }
}

impl LookedKey {
    #[must_use]
    pub fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// Whether the last look went on from the one before.
    #[must_use]
    pub fn has_gone_on(&self) -> bool {
        !self.keys.fold.is_whole()
    }
}

/// What an application does about a key that is on hold.
#[derive(Debug)]
pub enum KeyRepair {
    Nothing,
    Refused(String),
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
        let folding = Folding::of_key(replay.id.replay, &replay.request, &lane);
        Ok(self.look(replay, folding, None)?.of(lane))
    }

    /// Looks at the keys that stand otherwise than if receivers had had from the beginning what these keys of the handler emit.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn look_at_receivers(&self, replay: &Replay, emitting: &BTreeSet<LaneId>) -> Result<LookedKeys, ReplayError> {
        let folding = Folding::of_all(replay.id.replay, &replay.request, Some(Arc::new(emitting.clone())));
        self.look(replay, folding, None)
    }

    /// Looks at a key again, and takes in what has come since.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn look_on(&self, replay: &Replay, looked: LookedKey) -> Result<LookedKey, ReplayError> {
        let LookedKey { lane, keys: LookedKeys { folding, fold } } = looked;
        Ok(self.look(replay, folding, Some(fold))?.of(lane))
    }

    /// Whether a key comes to the same where all is looked at anew; if not, to what.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn differs_anew(&self, replay: &Replay, looked: &LookedKey) -> Result<Option<String>, ReplayError> {
        let LookedKey { lane, keys: LookedKeys { folding, fold } } = looked;
        let anew = self.look(replay, folding.clone(), None)?.fold;
        let [gone_on, anew] = [fold, &anew].map(|fold| fold.examined(lane));
        Ok((gone_on != anew).then(|| format!("{anew:?}, and not {gone_on:?}")))
    }

    fn look(&self, replay: &Replay, folding: Folding, kept: Option<KeptFold>) -> Result<LookedKeys, ReplayError> {
        let through = self.log().head();
        let fold = look(&self.sources(replay), (&folding, kept), through, &WhatIfProgress::default())?;
        Ok(LookedKeys { folding, fold })
    }

    /// The next record of a key that is on hold, and was looked at since.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn repair_of(
        &self,
        (replay, computed): (&Replay, &Computed),
        hold: &Hold,
        looked: &LookedKey,
        part: u32,
    ) -> Result<KeyRepair, ReplayError> {
        let sources = self.sources(replay);
        let LookedKey { lane, keys: LookedKeys { fold, .. } } = looked;
        let Some(examined) = fold.examined(lane) else { return Ok(KeyRepair::Nothing) };
        let Some(in_force) = self.in_force(&lane.0, replay.takes_corrected) else { return Ok(KeyRepair::Nothing) };
        let Replay { id, request, choices, audit, .. } = replay;
        let keys = choices.keys.as_ref().map(|keys| keys.iter().map(String::as_str).collect());
        let parts = match lane.0 == request.handler {
            true => repaired_parts((self.views(), &self.keys), (*id, request), computed, keys.as_ref())?,
            false => Parts::default(),
        };
        let repairing = Repairing { id: *id, request, choices, audit, parts: &parts };
        let looked = Looked { lane, through: fold.through(), examined, part, at_ms: hold.at_ms() };
        Ok(match repairing.record(&sources, &looked, &in_force)? {
            Made::Record { repaired, is_all, .. } => KeyRepair::Record { repaired, is_all },
            Made::Not(Part::Refused(reason) | Part::Waits(reason)) => KeyRepair::Refused(reason),
            Made::Not(_) | Made::Nothing { .. } => KeyRepair::Nothing,
        })
    }

    fn in_force(&self, handler: &HandlerName, takes_corrected: bool) -> Option<InForce> {
        let item = self.handlers().into_iter().find(|item| item.name == *handler)?;
        Some(InForce { version: item.version, state_version: item.manifest.state_version, takes_corrected })
    }

    /// The position behind which the undo of a replay looks.
    ///
    /// # Errors
    /// The views cannot be read.
    pub fn undo_after(&self, replay: Position) -> Result<Position, StorageError> {
        undo_after(self.views(), replay)
    }

    fn sources(&self, replay: &Replay) -> Sources {
        let look = Arc::new(self.handle.history().look());
        let sources = (self.views(), self.log(), &self.epochs);
        let answers = Answers::new(sources, replay.id.replay);
        let outside = Outer { answers, commands: self.commands.clone(), waits: Arc::clone(&replay.waits) };
        let (modules, outside) = (Arc::clone(&replay.modules), Arc::new(outside));
        let repairs = Arc::new(StoredRepairs { views: self.views().clone(), hasher: self.keys });
        let may_call = may_call(&replay.request, replay.is_applied && replay.choices.allow_calls);
        let (calls_left, deployments) = (None, Arc::default());
        Sources { look, modules, outside, may_call, calls_left, repairs, deployments }
    }
}
