//! How decisions change the views: operators' decisions about deliveries, and changes of handlers, breakers and pacing,
//! which have their own statuses.

use serde_json::json;
use weirgate_types::{
    BreakerChanged, DeliveryCommand, DeliveryDecided, Deployed, HandlerName, Mode, ModeChanged, PartDelivery, Position,
    Removed, StatusPart,
};

use super::{Projection, public};
use crate::{StorageError, keys, notices, statuses::raw_json};

/// The status part's handler name for the runtime itself.
const RUNTIME_PART: &str = "weirgate";

impl Projection {
    /// An operator's command was applied to a delivery. Its status is outdated, and the result is not known yet.
    pub(super) fn decided(&mut self, position: Position, decided: &DeliveryDecided) -> Result<(), StorageError> {
        let DeliveryDecided { delivery, key, command, reason, at_ms, .. } = decided;
        let said = self.shown(key, &delivery.handler)?;
        if let DeliveryCommand::DeadLetter = command {
            self.put(keys::dead_letter(delivery), keys::position_value(position));
            // It may have been given up behind another delivery, whose status stays.
            if said.as_ref().is_some_and(|said| said.event() != delivery.position) {
                return Ok(());
            }
            let attempt = said.as_ref().map_or(0, PartDelivery::attempt);
            let (event, message) = (delivery.position, public(reason));
            let dead = PartDelivery::DeadLettered { event, attempt, message };
            return self.say(position, key, &delivery.handler, *at_ms, Some(dead));
        }
        self.remove(keys::dead_letter(delivery));
        if said.is_some_and(|said| said.event() == delivery.position) {
            self.say(position, key, &delivery.handler, *at_ms, None)?;
        }
        Ok(())
    }

    /// Watchers learn that there is another version, not its manifest: its settings are the operator's.
    pub(super) fn version_changed(&mut self, position: Position, deployed: &Deployed) {
        let Deployed { handler, digest, at_ms, .. } = deployed;
        let (text, data) = (digest.to_string(), json!({ "digest": digest }));
        self.announce(position, &notices::handler_subject(handler), "deployment", ("deployed", &text), &data, *at_ms);
    }

    /// Its own statuses stay, as what its subjects' watchers have seen; its other rows are deleted in steps.
    pub(super) fn removed(&mut self, position: Position, removed: &Removed) {
        let Removed { handler, actor, reason, at_ms } = removed;
        self.put(keys::removal(handler), keys::position_value(position));
        self.put(keys::removed(handler), keys::position_value(position));
        let data = json!({ "actor": actor });
        self.announce(position, &notices::handler_subject(handler), "handler", ("removed", reason), &data, *at_ms);
    }

    pub(super) fn mode_changed(&mut self, position: Position, changed: &ModeChanged) {
        let ModeChanged { handler, mode, actor, reason, at_ms, .. } = changed;
        let state = match mode {
            Mode::Running => "running",
            Mode::Draining => "draining",
            Mode::Paused => "paused",
        };
        let data = json!({ "actor": actor });
        self.announce(position, &notices::handler_subject(handler), "handler", (state, reason), &data, *at_ms);
    }

    pub(super) fn breaker_changed(&mut self, position: Position, changed: &BreakerChanged) {
        let BreakerChanged { breaker, open_until_ms, actor, reason, at_ms, .. } = changed;
        let state = if open_until_ms.is_some() { "open" } else { "closed" };
        let data = json!({ "actor": actor, "open_until_ms": open_until_ms });
        self.announce(position, &notices::breaker_subject(breaker), "breaker", (state, reason), &data, *at_ms);
    }

    pub(super) fn paced(&mut self, position: Position, slow: bool, reason: &str, at_ms: u64) {
        let state = if slow { "slow-down" } else { "open" };
        self.announce(position, notices::INGEST_SUBJECT, "ingest", (state, reason), &json!({}), at_ms);
    }

    /// The runtime's status part on one of its own subjects.
    pub(super) fn announce(
        &mut self,
        position: Position,
        subject: &str,
        part: &str,
        (state, text): (&str, &str),
        data: &serde_json::Value,
        at_ms: u64,
    ) {
        let Ok(name) = format!("{RUNTIME_PART}-{part}").parse::<HandlerName>() else { return };
        let (state, text, data) = (state.to_owned(), public(text), raw_json(Some(data.to_string())));
        let said = StatusPart {
            version: position,
            at_ms,
            state,
            text,
            data,
            delivery: None,
            corrected: false,
            removed: false,
        };
        self.stage_part(subject, &name, said, None);
    }
}
