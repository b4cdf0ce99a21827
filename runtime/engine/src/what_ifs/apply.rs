//! Applies a replay, key by key: each is held, looked at again, and repaired by one record. What came since the what-if is part of it.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest as _, Sha256};
use weirgate_types::{
    CallBefore, Digest, Effects, Event, EventLimits, HandlerName, KEY_REPAIRED, KeyRepaired, LoggedEvent, Position,
    Repaired, ReplayEnd, ValueBefore, json::JsonBytes,
};

use super::{Apply, Bounded, Known, PlanId, compute::sources, stands::Now};
use crate::{
    Refusal,
    handle::{Handle, Shared},
    replay::{Examined, KeyPlan, Planned, Progress as _, ReplayError, Sources, WhatIf},
    replays::ReplayStep,
};

/// How often a key is looked at again that changes meanwhile.
const TRIES_MAX: u32 = 5;
/// Maximum number of records of one key.
const PARTS_MAX: u32 = 10_000;
/// Maximum number of keys that are listed with the reason why they were not repaired.
const REFUSED_MAX: usize = 1_000;
/// Values of the state that are longer are not handed over to the handler, in bytes.
const VALUE_BYTES_MAX: usize = 4 * 1_024;

/// What an application came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Applied {
    pub is_running: bool,
    /// Keys of the plan that were looked at, and those that were repaired.
    pub looked_at: u64,
    pub repaired: u64,
    /// Keys that were not repaired, and why.
    pub refused: BTreeMap<String, String>,
    /// The error that ended it.
    pub error: Option<String>,
}

/// What came of a key.
enum KeyEnd {
    Repaired,
    /// It stands as the fork has it.
    Nothing,
    Refused(String),
}

pub fn apply(shared: &Arc<Shared>, id: PlanId, known: &Known, asked: &Apply) -> Result<(), ReplayError> {
    // The writer's answers are awaited on this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (handle, request) = (Handle::of(shared), &*known.request);
    Applying { runtime, handle, shared, id, known, request, asked }.all()
}

struct Applying<'a> {
    runtime: tokio::runtime::Runtime,
    handle: Handle,
    shared: &'a Arc<Shared>,
    id: PlanId,
    known: &'a Known,
    request: &'a WhatIf,
    asked: &'a Apply,
}

impl Applying<'_> {
    fn all(&self) -> Result<(), ReplayError> {
        let Some(computed) = self.known.result.as_ref().and_then(|result| result.as_ref().ok()) else {
            return Err(ReplayError::NotComputed);
        };
        let planned = computed.plans.keys().filter(|key| self.is_asked_for(key));
        let mut refused = 0_usize;
        for key in planned {
            let end = self.key(key)?;
            self.shared.what_ifs.change(self.id, |known| {
                let applied = known.applied.get_or_insert_with(|| Applied { is_running: true, ..Applied::default() });
                applied.looked_at += 1;
                match end {
                    KeyEnd::Repaired => applied.repaired += 1,
                    KeyEnd::Refused(ref reason) if applied.refused.len() < REFUSED_MAX => {
                        applied.refused.insert(key.clone(), reason.clone());
                    }
                    KeyEnd::Nothing | KeyEnd::Refused(_) => {}
                }
            });
            refused += usize::from(matches!(end, KeyEnd::Refused(_)));
        }
        if self.asked.choices.keys.is_none() && refused == 0 {
            let end = if self.id.is_undo { ReplayEnd::Undone } else { ReplayEnd::Applied };
            let step = ReplayStep::End { replay: self.id.replay, end };
            self.runtime.block_on(self.handle.step_replay(step, self.asked.audit.clone()))?;
        }
        Ok(())
    }

    fn is_asked_for(&self, key: &str) -> bool {
        self.asked.choices.keys.as_ref().is_none_or(|keys| keys.iter().any(|one| one == key))
    }

    fn key(&self, key: &str) -> Result<KeyEnd, ReplayError> {
        let (mut end, mut tries) = (KeyEnd::Nothing, 0);
        let mut part = 0;
        while part < PARTS_MAX {
            match self.part(key, part) {
                Ok(Part::Whole) => return Ok(KeyEnd::Repaired),
                Ok(Part::More) => {
                    (end, tries) = (KeyEnd::Repaired, 0);
                    part += 1;
                }
                Ok(Part::Nothing) => return Ok(end),
                Ok(Part::Refused(reason)) => return Ok(KeyEnd::Refused(reason)),
                // It changed meanwhile, or took too long.
                Err(ReplayError::Refused(refusal)) if is_busy(&refusal) && tries < TRIES_MAX => tries += 1,
                Err(ReplayError::Refused(refusal)) if is_busy(&refusal) => {
                    return Ok(KeyEnd::Refused(refusal.to_string()));
                }
                Err(ReplayError::Refused(refusal)) if matches!(*refusal, Refusal::KeyFinishes { .. }) => {
                    return Ok(KeyEnd::Refused(refusal.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(end)
    }

    /// Looks at a key, holds it, takes in what came meanwhile, and appends one record.
    fn part(&self, key: &str, part: u32) -> Result<Part, ReplayError> {
        let handler = &self.request.handler;
        let (mut through, mut found) = self.look(key)?;
        let hold = self.runtime.block_on(self.handle.hold_key(handler.clone(), key.to_owned()))?;
        let look = self.shared.indexing.history.look();
        if !look.of_lane(handler, key, through, 1)?.is_empty() {
            (through, found) = self.look(key)?;
        }
        let Some(examined) = found else { return Ok(Part::Nothing) };
        let sources = self.sources()?;
        let stands = Now::new(self.shared, &sources, handler);
        let mut plan = KeyPlan::new(key, &examined, self.request.asked_at_ms, &stands)?;
        if self.asked.choices.fire_past {
            plan = plan.firing_past();
        }
        if let Some(reason) = plan.refused {
            return Ok(Part::Refused(reason));
        }
        let in_force = self.runtime.block_on(self.handle.handler(handler.clone()))?;
        let takes_corrected =
            self.shared.modules.host().load(in_force.digest).is_ok_and(|module| module.has_on_corrected());
        let hands_over = takes_corrected && plan.leaves();
        if plan.is_empty() && !hands_over {
            return Ok(Part::Nothing);
        }
        let is_all = plan.cut();
        let repaired = Repaired {
            replay: self.id.replay,
            handler: handler.clone(),
            key: key.to_owned(),
            part,
            version: in_force.version,
            state_version: in_force.manifest.state_version,
            from: examined.notes.from,
            through,
            depth: plan.emitted.iter().map(|planned| planned.depth).max().unwrap_or(1),
            corrected: (hands_over && is_all).then(|| self.corrected(&plan, &sources, through)).transpose()?,
            effects: Effects {
                state: plan.state,
                status: plan.status,
                emitted: plan.emitted.iter().map(|planned| self.appended(planned)).collect(),
                timers: plan.timers,
                withheld: Vec::new(),
            },
            unset: plan.unset,
            is_undo: self.id.is_undo,
            actor: self.asked.audit.actor.clone(),
            reason: self.asked.audit.reason.clone(),
            at_ms: 0,
        };
        self.runtime.block_on(hold.repair(repaired))?;
        // Another look would have to wait for the handler to compensate what was handed over to it.
        Ok(if is_all { Part::Whole } else { Part::More })
    }

    fn sources(&self) -> Result<Sources, ReplayError> {
        sources(self.shared, self.known, self.asked.choices.allow_calls)
    }

    /// The key as it stands now.
    fn look(&self, key: &str) -> Result<(Position, Option<Examined>), ReplayError> {
        let sources = self.sources()?;
        let through = sources.look.log().head();
        let request = WhatIf { through, ..self.request.clone() };
        let progress = Bounded::new(&self.known.watch, &request);
        progress.go_on(through, 0)?;
        Ok((through, sources.examine_key(&request, key, &progress)?))
    }

    /// An event of the fork, as it is appended: its identity names the replay.
    fn appended(&self, planned: &Planned) -> Event {
        let mut event = planned.event.clone();
        event.id = format!("{}/{}/{}", self.id.replay, planned.delivery, planned.index.saturating_add(1));
        event.extensions.insert("replayid".into(), self.id.replay.to_string().into());
        event.extensions.insert("replayof".into(), planned.delivery.to_string().into());
        event
    }

    /// What the handler compensates itself.
    fn corrected(&self, plan: &KeyPlan, sources: &Sources, through: Position) -> Result<Event, ReplayError> {
        let handler = &self.request.handler;
        let mut state_before = Vec::new();
        for write in &plan.state {
            let value = sources.look.value_before(handler, &plan.key, &write.name, Position(u64::MAX))?;
            let value = value.filter(|value| value.len() <= VALUE_BYTES_MAX);
            state_before.push(ValueBefore { name: write.name.clone(), value: value.map(JsonBytes) });
        }
        let emitted_before = plan.stays.iter().map(|stays| LoggedEvent {
            position: stays.at,
            by: stays.delivery,
            event: stays.event.clone(),
        });
        let emitted_now = plan.emitted.iter().map(|planned| LoggedEvent {
            position: Position::ZERO,
            by: planned.delivery,
            event: self.appended(planned),
        });
        let calls_before = plan.calls.iter().map(|(by, call)| CallBefore {
            by: *by,
            step: call.step.clone(),
            method: call.request.method.clone(),
            url: call.request.url.clone(),
            status: Some(call.answer.status),
            body: (call.answer.body.len() <= VALUE_BYTES_MAX).then(|| JsonBytes(call.answer.body.clone())),
        });
        let data = KeyRepaired {
            replay: self.id.replay.to_string(),
            reason: self.asked.audit.reason.clone(),
            emitted_before: emitted_before.collect(),
            emitted_now: emitted_now.collect(),
            calls_before: calls_before.collect(),
            state_before,
            truncated: false,
        };
        Ok(event(self.id.replay, handler, &plan.key, through, data.into_data(EventLimits::default().data_bytes_max)))
    }
}

/// Whether the key can be tried again: an attempt of it ran for too long.
fn is_busy(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::HoldOver | Refusal::KeyOnHold(_))
}

/// What came of one record of a key.
enum Part {
    Nothing,
    /// Something may be left.
    More,
    Whole,
    Refused(String),
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
