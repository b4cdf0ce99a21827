//! Appends a repair: what a key's plan says, as one record, with what its handler compensates itself.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use weirgate_history::Look;
use weirgate_types::{
    CallBefore, Digest, Effects, Event, EventLimits, HandlerName, KEY_REPAIRED, KeyRepaired, LoggedEvent, Position,
    Record, Repaired, ValueBefore, json::JsonBytes,
};

use super::{PlanId, agreed::is_otherwise, apply::Applying, chain, stands::Now};
use crate::{
    Audit, StorageError,
    handle::{Choices, KeyHold},
    replay::{Examined, KeyPlan, LaneId, Parts, Planned, ReplayError, Sources, WhatIf},
};

/// Values of the state that are longer are not handed over to the handler, in bytes.
const VALUE_BYTES_MAX: usize = 4 * 1_024;

/// How many records of a key are asked for at once.
const PAGE: usize = 64;

/// What came of one record of a key.
pub enum Part {
    Nothing,
    /// Something may be left.
    More,
    Whole,
    Refused(String),
    /// The breaker of a host that its deliveries call is open.
    Waits(String),
}

/// A key as it stands, up to a position, and the number of the record that is appended for it.
pub struct Looked<'a> {
    pub lane: &'a LaneId,
    pub through: Position,
    pub examined: &'a Examined,
    pub part: u32,
    /// The writer's time when it was put on hold: timers that are due by then are past.
    pub at_ms: u64,
}

/// What is appended for a key.
pub enum Made {
    /// What was refused.
    Not(Part),
    Nothing {
        past_timers: usize,
    },
    /// `is_all`: nothing is left to another record. `past_timers`: number of timers that are not set, because they are due.
    Record {
        repaired: Box<Repaired>,
        is_all: bool,
        past_timers: usize,
    },
}

/// Makes the records of a replay's repairs.
pub struct Repairing<'a> {
    pub id: PlanId,
    pub request: &'a WhatIf,
    pub choices: &'a Choices,
    pub audit: &'a Audit,
    /// The parts that keys write, and which of these keys are repaired.
    pub parts: &'a Parts<'a>,
}

/// The deployment in force of a key's handler.
pub struct InForce {
    pub version: Position,
    pub state_version: u32,
    /// Whether it is asked to compensate what cannot be taken back.
    pub takes_corrected: bool,
}

/// Whether the log has more of a key than a plan was made of. The answers that the plan's replay has got since are none of that.
fn has_more(look: &Look, (handler, key): &LaneId, mut after: Position) -> Result<bool, ReplayError> {
    loop {
        let page = look.of_lane(handler, key, after, PAGE)?;
        for position in &page {
            let read = look.log().read(*position).map_err(StorageError::from)?;
            if !matches!(read, Some((_, Record::ReplayAnswered(_)))) {
                return Ok(true);
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = *last,
            _ => return Ok(false),
        }
    }
}

impl Applying<'_> {
    /// Why a key is not repaired as it was looked at: it is not what was approved. Parts of a status are compared as they stood then: the
    /// last writer by position owns one, also if that is another key that has written it since.
    pub fn is_otherwise(&self, lane: &LaneId, examined: Option<&Examined>) -> Result<Option<Part>, ReplayError> {
        let (sources, computed) = (self.sources()?, self.computed()?);
        if has_more(&sources.look, lane, self.request.through)? {
            // What has come is folded in.
            return Ok(None);
        }
        let approved = match lane.0 == self.request.handler {
            true => computed.plans.get(&lane.1),
            false => computed.receivers.get(lane),
        };
        let stands = Now::new(&sources, &lane.0, self.parts.planned(&lane.0)).through(self.request.through);
        let plan = |examined| KeyPlan::new(&lane.1, examined, self.request.asked_at_ms, &stands);
        let now = examined.map(plan).transpose()?;
        Ok(is_otherwise(approved, now.as_ref()).map(Part::Refused))
    }

    /// Appends one record for a key that is on hold, if anything is to be done.
    pub fn append(&self, looked: &Looked<'_>, hold: KeyHold, parts: &Parts<'_>) -> Result<Part, ReplayError> {
        let handler = self.runtime.block_on(self.handle.handler(looked.lane.0.clone()))?;
        let takes_corrected = match self.shared.modules.host().load(handler.digest) {
            Ok(module) => module.has_on_corrected(),
            Err(error) => return Ok(Part::Refused(format!("the module in force cannot be loaded: {}", chain(&error)))),
        };
        let state_version = handler.manifest.state_version;
        let in_force = InForce { version: handler.version, state_version, takes_corrected };
        let sources = self.sources()?;
        let parts_through = sources.look.log().head();
        match self.repairing(parts).record(&sources, looked, &in_force)? {
            Made::Not(part) => Ok(part),
            Made::Nothing { past_timers } => {
                self.note_past_timers(past_timers);
                Ok(Part::Nothing)
            }
            Made::Record { repaired, is_all, past_timers } => {
                self.runtime.block_on(hold.repair(*repaired, parts_through))?;
                self.note_past_timers(if is_all { past_timers } else { 0 });
                // Another look would have to wait for the handler to compensate what was handed over to it.
                Ok(if is_all { Part::Whole } else { Part::More })
            }
        }
    }

    fn repairing<'b>(&'b self, parts: &'b Parts<'b>) -> Repairing<'b> {
        let Self { id, request, asked, .. } = self;
        Repairing { id: *id, request, choices: &asked.choices, audit: &asked.audit, parts }
    }
}

impl Repairing<'_> {
    pub fn record(&self, sources: &Sources, looked: &Looked<'_>, in_force: &InForce) -> Result<Made, ReplayError> {
        let Looked { lane: (handler, key), through, examined, part, at_ms } = looked;
        let stands = Now::new(sources, handler, self.parts);
        let mut plan = KeyPlan::new(key, examined, *at_ms, &stands)?;
        if self.choices.fire_past {
            plan = plan.firing_past();
        }
        if let Some(reason) = plan.refused {
            let is_open = examined.notes.fails().is_some_and(|fails| fails.is_open);
            return Ok(Made::Not(if is_open { Part::Waits(reason) } else { Part::Refused(reason) }));
        }
        let hands_over = in_force.takes_corrected && plan.leaves();
        if plan.is_empty() && !hands_over {
            return Ok(Made::Nothing { past_timers: plan.past_timers.len() });
        }
        let is_all = plan.cut();
        let corrected = (hands_over && is_all).then(|| self.corrected(looked, &plan, sources)).transpose()?;
        let repaired = Repaired {
            replay: self.id.replay,
            handler: handler.clone(),
            key: key.clone(),
            part: *part,
            version: in_force.version,
            state_version: plan.state_version.unwrap_or(in_force.state_version),
            from: examined.notes.from,
            through: *through,
            depth: plan.emitted.iter().map(|planned| planned.depth).max().unwrap_or(1),
            corrected,
            effects: Effects {
                state: plan.state,
                status: plan.status,
                emitted: plan.emitted.iter().map(|planned| self.appended(handler, planned)).collect(),
                timers: plan.timers,
                withheld: Vec::new(),
            },
            unset: plan.unset,
            is_undo: self.id.is_undo,
            actor: self.audit.actor.clone(),
            reason: self.audit.reason.clone(),
            at_ms: 0,
        };
        Ok(Made::Record { repaired: Box::new(repaired), is_all, past_timers: plan.past_timers.len() })
    }

    /// An event of the fork, as it is appended: its identity names the replay. Several deliveries of a receiver may be ones that the log does
    /// not hold, and have one position; so the identity of its events has their content, too.
    fn appended(&self, handler: &HandlerName, planned: &Planned) -> Event {
        let mut event = planned.event.clone();
        event.id = format!("{}/{}/{}", self.id.replay, planned.delivery, planned.index.saturating_add(1));
        if *handler != self.request.handler {
            let content = Digest(Sha256::digest(&planned.event.data).into()).to_hex();
            event.id = format!("{}/{}", event.id, content.get(..16).unwrap_or_default());
        }
        event.extensions.insert("replayid".into(), self.id.replay.to_string().into());
        event.extensions.insert("replayof".into(), planned.delivery.to_string().into());
        event
    }

    /// What the handler compensates itself.
    fn corrected(&self, looked: &Looked<'_>, plan: &KeyPlan, sources: &Sources) -> Result<Event, ReplayError> {
        let Looked { lane: (handler, key), through, examined, .. } = looked;
        let mut state_before = Vec::new();
        for write in &plan.state {
            let value = sources.look.value_before(handler, key, &write.name, Position(u64::MAX))?;
            if value.as_ref().is_none_or(|value| value.len() <= VALUE_BYTES_MAX) {
                state_before.push(ValueBefore { name: write.name.clone(), value: value.map(JsonBytes) });
            }
        }
        let emitted_before = plan.stays.iter().map(|stays| LoggedEvent {
            position: stays.at,
            by: stays.delivery,
            event: stays.event.clone(),
        });
        let emitted_now = plan.emitted.iter().map(|planned| LoggedEvent {
            position: Position::ZERO,
            by: planned.delivery,
            event: self.appended(handler, planned),
        });
        let calls_before = plan.calls.iter().map(|(by, call)| CallBefore {
            by: *by,
            step: call.step.clone(),
            method: call.request.method.clone(),
            url: call.request.url.clone(),
            status: call.answer.as_ref().map(|answer| answer.status),
            body: call
                .answer
                .as_ref()
                .map(|answer| &answer.body)
                .filter(|body| body.len() <= VALUE_BYTES_MAX)
                .cloned()
                .map(JsonBytes),
        });
        let data = KeyRepaired {
            replay: self.id.replay.to_string(),
            reason: self.audit.reason.clone(),
            emitted_before: emitted_before.collect(),
            emitted_now: emitted_now.collect(),
            calls_before: calls_before.collect(),
            state_before,
            truncated: examined.notes.is_handed_over_in_part,
        };
        Ok(event(self.id.replay, handler, key, *through, data.into_data(EventLimits::default().data_bytes_max)))
    }
}

/// The event that hands over to the handler what it compensates itself.
fn event(replay: Position, handler: &HandlerName, key: &str, through: Position, data: Vec<u8>) -> Event {
    let digest = Digest(Sha256::digest(key).into());
    Event {
        id: format!("{replay}/{through}/{}", digest.to_hex()),
        source: format!("/weirgate/replays/{handler}"),
        r#type: KEY_REPAIRED.into(),
        subject: None,
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: BTreeMap::from([
            ("partitionkey".to_owned(), key.to_owned().into()),
            ("replayid".to_owned(), replay.to_string().into()),
        ]),
        implied_key: None,
        data,
    }
}
