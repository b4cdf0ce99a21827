//! Clients that send as much as a request may hold, and operators whose commands hold as much as a request may.

use weirgate_engine::{Audit, CommandRequest, NewData, Refusal};
use weirgate_types::{Event, Mode, StepAnswer};

use super::{World, guest::document, plan};
use crate::engine::{Stop, unreadable};

/// Maximum size of a request's body.
const REQUEST_BYTES: u64 = 4 << 20;
/// Attributes of the maximum length.
const ATTRIBUTE_BYTES: usize = 1_024;

pub fn event(id: &str, key: &str, r#type: &str) -> Event {
    crate::clients::event(id, key, r#type)
}

fn audit(is_long: bool) -> Audit {
    let text = |bytes: usize| if is_long { "y".repeat(bytes) } else { "because".to_owned() };
    Audit { actor: text(128), reason: text(1_024) }
}

impl World<'_> {
    pub(super) fn some_key(&mut self) -> String {
        let bytes = self.plan.habits.key_bytes;
        format!("{:0bytes$}", self.chance.below(self.plan.habits.keys))
    }

    pub(super) fn publish(&mut self) -> Result<(), Stop> {
        let habits = &self.plan.habits;
        let (most, bytes) = (habits.events, habits.event_bytes);
        self.send("order.placed", most, bytes)
    }

    pub(super) fn correct(&mut self) -> Result<(), Stop> {
        let habits = &self.plan.habits;
        let (most, bytes) = (habits.corrections, habits.correction_bytes);
        self.send("fix.data", most, bytes)
    }

    /// One request with up to `most` events.
    fn send(&mut self, r#type: &str, most: u64, bytes_max: u64) -> Result<(), Stop> {
        let (mut events, mut ids, mut request) = (Vec::new(), Vec::new(), 0);
        let is_long = self.chance.one_in(5);
        for _ in 0..self.chance.between(most / 2, most) {
            let bytes = if self.chance.one_in(4) { bytes_max } else { bytes_max.min(300) };
            let bytes = self.afford(bytes);
            let size = bytes + 200 + if is_long { 3 << 10 } else { 0 };
            if request + size > REQUEST_BYTES || self.afford(200) < 200 {
                break;
            }
            request += size;
            self.next += 1;
            let (id, key) = (format!("e-{}", self.next), self.some_key());
            let id = if is_long { format!("{id:0<ATTRIBUTE_BYTES$}") } else { id };
            let mut event = event(&id, &key, r#type);
            if is_long {
                event.extensions.insert("traceparent".to_owned(), "0".repeat(ATTRIBUTE_BYTES).into());
                event.extensions.insert("correlationid".to_owned(), "c".repeat(ATTRIBUTE_BYTES).into());
            }
            if self.chance.one_in(3) {
                event.extensions.insert("sequence".to_owned(), self.chance.between(1, 50).to_string().into());
            }
            event.data = document(&format!("f{}", self.next), bytes).into_bytes();
            ids.push(id);
            events.push(event);
        }
        if !events.is_empty() {
            let answer = self.engine.ingest(events).map_err(unreadable)?;
            self.waiting.push((ids, answer));
        }
        Ok(())
    }

    /// Answers to outbound calls of running attempts, each under a name that no attempt has used before.
    pub(super) fn outbound_calls(&mut self) {
        let (most, bytes) = (self.plan.habits.outbound_calls, self.plan.habits.answer_bytes);
        for call in 0..self.calls.len().min(8) {
            let limits = self.calls.get(call).map(|call| self.limits_of(call.handler()));
            let Some((limits, true)) = limits else { continue };
            for _ in 0..most.min(u64::from(limits.outbound_calls)) {
                let bytes = self.afford(bytes);
                if self.afford(300) < 300 {
                    return;
                }
                self.next += 1;
                let step = format!("{:0256}", self.next);
                let body = vec![b'b'; usize::try_from(bytes).unwrap_or(0)];
                let answer = StepAnswer { status: 200, headers: Vec::new(), body };
                if let Some(call) = self.calls.get(call) {
                    let index = self.chance.index(call.items().count());
                    drop(self.engine.answer_step(call, index, step, answer));
                }
            }
        }
    }

    pub(super) fn operators(&mut self) -> Result<(), Stop> {
        match self.chance.below(6) {
            0 => self.deploy_some(),
            1 | 2 => {
                let mode = if self.chance.one_in(4) { Mode::Paused } else { Mode::Running };
                let index = self.chance.index(self.plan.handlers.len());
                let Some(manifest) = self.plan.handlers.get(index) else { return Ok(()) };
                drop(self.engine.change_mode(manifest.name.clone(), mode, audit(self.chance.one_in(4))));
            }
            _ => {
                for _ in 0..self.chance.between(1, 12) {
                    self.decide()?;
                }
            }
        }
        Ok(())
    }

    /// Successive deployments, each with another manifest.
    fn deploy_some(&mut self) {
        let index = self.chance.index(self.plan.handlers.len());
        let Some(before) = self.plan.handlers.get(index) else { return };
        let (name, schedules) = (before.name.clone(), before.schedules.clone());
        for _ in 0..self.chance.between(1, self.plan.habits.deploys) {
            let mut manifest = plan::manifest(&mut self.chance, name.as_str());
            manifest.schedules.clone_from(&schedules);
            let json = serde_json::to_string(&manifest).unwrap_or_default();
            if self.afford(json.len() as u64) < json.len() as u64 {
                return;
            }
            drop(self.engine.deploy(name.clone(), json));
            if let Some(handler) = self.plan.handlers.get_mut(index) {
                *handler = manifest;
            }
        }
    }

    fn decide(&mut self) -> Result<(), Stop> {
        let Some(delivery) = self.chance.pick(&self.seen).cloned() else { return Ok(()) };
        let bytes = if self.chance.one_in(4) { 256 << 10 } else { 100 };
        let bytes = self.afford(bytes);
        let request = match self.chance.below(7) {
            0 | 1 => CommandRequest::Retry,
            2 | 3 => CommandRequest::Correct(NewData::Whole {
                data: document("actor", bytes).into_bytes(),
                data_content_type: None,
            }),
            4 => CommandRequest::DeadLetter,
            5 => CommandRequest::Skip,
            _ => CommandRequest::Resolve(self.instead(bytes)),
        };
        match self.engine.command_delivery(delivery, request, audit(self.chance.one_in(4))) {
            Err(refusal @ Refusal::Storage(_)) => Err(unreadable(refusal).into()),
            _ => Ok(()),
        }
    }

    /// Events that replace a delivery: as many as a request may contain, as long as a request may be.
    fn instead(&mut self, bytes: u64) -> Vec<Event> {
        let count = self.chance.between(1, 64).min(REQUEST_BYTES / (bytes + 300));
        let count = count.min(self.afford(count * bytes) / bytes.max(1));
        let mut events = Vec::new();
        for _ in 0..count {
            self.next += 1;
            let mut event = event(&format!("instead-{}", self.next), &self.some_key(), "order.placed");
            event.data = document("instead", bytes).into_bytes();
            events.push(event);
        }
        events
    }
}
