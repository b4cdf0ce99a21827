//! A delivery of the log, of the fork, or of both, and what it came to. Pure.

use std::borrow::Cow;

use weirgate_host::CallError;
use weirgate_types::{
    AttemptFailure, Commit, Correction, DeliveryId, Effects, Event, FailureClass, FailureKind, HandlerName, Outcome,
    Position,
};

use super::{
    calls::{ForkCalls, MissingAnswers},
    outside::MayCall,
    request::Closed,
    run::LaneId,
};
use crate::replay::{attempts::Begun, compare::Repeated, execute::ItemInput};

/// A delivery of the log, of the fork, or of both.
pub struct Delivered<'a> {
    pub delivery: DeliveryId,
    pub lane: LaneId,
    /// As the fork delivers it.
    pub event: Cow<'a, Event>,
    pub depth: u32,
    /// The record that committed it; in the fork, where that would have been.
    pub at: Position,
    /// The attempt that closed it, and its commit; `None` for one that only the fork has.
    pub begun: Option<&'a Begun>,
    pub commit: Option<&'a Commit>,
    pub first_emitted: Position,
    /// The fork does not have it.
    pub is_dropped: bool,
    /// Who emitted its event in another form.
    pub cause: Option<LaneId>,
    /// That one fails: it is not known whether it would emit this.
    pub is_unknown: bool,
    pub times: (u64, u64),
    pub accepted_at_ms: u64,
    /// It is for its handler whatever that subscribes to.
    pub is_addressed: bool,
    /// Which of its calls may be made, if the replay may make them.
    pub may_call: MayCall,
}

/// What a delivery of the fork came to.
pub struct Ran {
    pub repeated: Repeated,
    pub calls: ForkCalls,
    /// The form of the state that it left.
    pub state_version: u32,
}

impl Ran {
    /// A delivery whose key has state of a later version than the code that is to handle it: that is not converted back.
    pub fn not_converted(had: u32, version: u32) -> Self {
        let message = format!(
            "the key's state has version {had}, and the version that handles it has `state_version = {version}`: a later form is not \
             converted back"
        );
        let failure = AttemptFailure::found(FailureKind::Migration, message);
        let failed = CallError::Failed(AttemptFailure { class: FailureClass::Permanent, ..failure });
        let calls = ForkCalls::new([], [], MissingAnswers::Fail, None);
        Self { repeated: Repeated { result: Err(failed), log: Vec::new() }, calls, state_version: version }
    }

    /// Whether it came to the effects that the log holds, and its calls to nothing else.
    pub fn is_as_recorded(&self, recorded: &Effects) -> bool {
        self.repeated.result.as_ref() == Ok(recorded) && self.calls.is_as_recorded()
    }
}

impl<'a> Delivered<'a> {
    /// A delivery that the log does not hold.
    pub fn added(
        handler: HandlerName,
        event: &'a Event,
        (of, at, depth): (Position, Position, u32),
        times: (u64, u64),
    ) -> Self {
        Self {
            lane: (handler.clone(), event.key().to_owned()),
            delivery: DeliveryId { handler, position: of },
            event: Cow::Borrowed(event),
            depth,
            at,
            begun: None,
            commit: None,
            first_emitted: at,
            is_dropped: false,
            cause: None,
            is_unknown: false,
            times,
            accepted_at_ms: times.0,
            is_addressed: false,
            may_call: MayCall::Safe,
        }
    }

    /// The same with the data of a correction.
    pub fn corrected(&self, correction: Correction) -> Self {
        let Correction { data, data_content_type, .. } = correction;
        let event = Cow::Owned(Event { data, data_content_type, ..self.event.clone().into_owned() });
        Self { event, delivery: self.delivery.clone(), lane: self.lane.clone(), cause: self.cause.clone(), ..*self }
    }

    /// The same, without any call that no record has an answer for.
    pub fn silent(&self) -> Delivered<'_> {
        Delivered {
            event: Cow::Borrowed(&self.event),
            delivery: self.delivery.clone(),
            lane: self.lane.clone(),
            cause: self.cause.clone(),
            may_call: MayCall::Nothing,
            ..*self
        }
    }

    pub fn closed(&self) -> Option<Closed> {
        self.commit.and_then(closed)
    }

    pub fn input(&self, migrate_from: Option<u32>) -> ItemInput<'_> {
        ItemInput {
            delivery: self.delivery.clone(),
            attempt: self.begun.map_or(1, |begun| begun.attempt),
            event: Cow::Borrowed(&self.event),
            depth: self.depth,
            migrate_from,
        }
    }
}

/// How a commit closed its delivery.
pub fn closed(commit: &Commit) -> Option<Closed> {
    match &commit.outcome {
        Outcome::Completed | Outcome::Withheld => Some(Closed::Completed),
        Outcome::DeadLettered { .. } => Some(Closed::DeadLettered),
        Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. } => None,
    }
}
