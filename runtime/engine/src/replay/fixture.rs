//! Fixtures: attempts of a bundle as files that the SDK's test kit runs natively. `docs/formats/fixture.md` describes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weirgate_types::{
    AttemptFailure, Effects, Event, FailureClass, FailureKind, KEY_REPAIRED, Manifest, StatusWrite, StepResult,
    TimerWrite, json::JsonBytes,
};

use super::{
    BundleError,
    bundle::{BundledCall, BundledItem},
    execute::ItemInput,
    memory::Step,
};

const FORMAT: &str = "weirgate-fixture/2";

/// A file for a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixture {
    pub name: String,
    pub content: Value,
}

impl BundledCall {
    /// The call's attempt as a fixture; `None` if the test kit cannot run it: one of a batch or of a repair, one that a limit or a trap ended, one
    /// whose step had several results, and one whose reads saw different states. It is the `nth` at its delivery.
    pub(super) fn fixture(&self, nth: u32) -> Result<Option<Fixture>, BundleError> {
        let ([input], [item]) = (self.input.items.as_slice(), self.items.as_slice()) else { return Ok(None) };
        if input.event.r#type == KEY_REPAIRED {
            return Ok(None);
        }
        let (Some(answers), [state]) = (answers(item), item.state.as_slice()) else { return Ok(None) };
        let before: BTreeMap<_, _> = state.values.iter().cloned().collect();
        let Some(expected) = expected(item, &before) else { return Ok(None) };
        let manifest =
            Manifest::from_record(&self.manifest).map_err(|error| BundleError::Manifest(error.to_string()))?;
        let ItemInput { delivery, attempt, event, migrate_from, .. } = input;
        let content = json!({
            "format": FORMAT,
            "handler": delivery.handler.to_string(),
            "position": delivery.position.0,
            "attempt": attempt,
            "key": event.key(),
            "wall_ms": self.input.wall_ms,
            "event": event_json(event),
            "state": values(&before),
            "migrated_from": migrate_from,
            "config": manifest.config,
            "answers": answers,
            "expected": expected,
        });
        Ok(Some(Fixture { name: format!("{}-{}-{nth}.json", delivery.handler, delivery.position.0), content }))
    }
}

/// One answer for each step.
fn answers(item: &BundledItem) -> Option<BTreeMap<&str, Value>> {
    let mut answers = BTreeMap::new();
    for Step { name, result, .. } in item.before.iter().chain(&item.calls) {
        let answer = match result {
            StepResult::Answered(answer) => json!({ "response": {
                "status": answer.status, "headers": answer.headers, "body": bytes(&answer.body),
            } }),
            StepResult::Denied(reason) => json!({ "denied": reason }),
            StepResult::Unreachable(reason) => json!({ "unreachable": reason }),
            StepResult::TimedOut => json!("timed-out"),
            StepResult::TooLarge => json!("too-large"),
            StepResult::CircuitOpen(open_ms) => json!({ "circuit-open": open_ms }),
            StepResult::TooManyCalls => return None,
        };
        if answers.insert(name.as_str(), answer.clone()).is_some_and(|other| other != answer) {
            return None;
        }
    }
    Some(answers)
}

fn expected(item: &BundledItem, before: &BTreeMap<String, Vec<u8>>) -> Option<Value> {
    let failure = match &item.came.result {
        Ok(effects) => return Some(json!({ "completed": effects_json(effects, before) })),
        Err(failure) => failure,
    };
    let AttemptFailure { class, kind, message, what_is_wrong, retry_after_ms } = failure;
    match (kind, class) {
        (FailureKind::Handler | FailureKind::CircuitOpen | FailureKind::Migration, FailureClass::Transient) => {
            // At an open circuit the runtime sets the time of the next attempt, whatever the handler asked for.
            let by_runtime = *kind == FailureKind::CircuitOpen;
            let failure =
                json!({ "message": message, "retry_after_ms": retry_after_ms, "at_open_circuit": by_runtime });
            Some(json!({ "transient": failure }))
        }
        (FailureKind::Handler, FailureClass::Correctable) => {
            Some(json!({ "correctable": { "message": message, "what_is_wrong": what_is_wrong } }))
        }
        (FailureKind::Handler, FailureClass::Permanent) => Some(json!({ "permanent": { "message": message } })),
        _ => None,
    }
}

fn effects_json(effects: &Effects, before: &BTreeMap<String, Vec<u8>>) -> Value {
    let mut after = before.clone();
    for write in &effects.state {
        match &write.value {
            Some(value) => after.insert(write.name.clone(), value.clone()),
            None => after.remove(&write.name),
        };
    }
    let emitted = effects.emitted.iter().map(|event| {
        json!({
            "type": event.r#type, "subject": event.subject.as_deref().unwrap_or_default(), "key": event.key(),
            "data_content_type": event.data_content_type, "data": bytes(&event.data),
        })
    });
    let status = effects.status.iter().map(|StatusWrite { subject, state, text, data }| {
        json!({ "subject": subject, "state": state, "text": text, "data": data })
    });
    let timers = effects.timers.iter().map(|TimerWrite { name, set }| match set {
        Some(set) => json!({ "name": name, "due_ms": set.due_ms, "type": set.r#type, "data": bytes(&set.data) }),
        None => json!({ "name": name }),
    });
    json!({
        "state": values(&after),
        "emitted": emitted.collect::<Vec<_>>(),
        "status": status.collect::<Vec<_>>(),
        "timers": timers.collect::<Vec<_>>(),
    })
}

fn event_json(event: &Event) -> Value {
    let extensions: Vec<_> = event.extensions.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    json!({
        "id": event.id, "source": event.source, "type": event.r#type, "subject": event.subject, "time": event.time,
        "data_content_type": event.data_content_type, "extensions": extensions, "data": bytes(&event.data),
    })
}

fn values(values: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&str, Value> {
    values.iter().map(|(name, value)| (name.as_str(), bytes(value))).collect()
}

fn bytes(bytes: &[u8]) -> Value {
    json!(JsonBytes(bytes.to_vec()))
}
