//! What commits and repairs change in the views: state, statuses, dead letters, timers.

use weirgate_types::{
    AttemptFailure, Commit, HandlerName, Outcome, PartDelivery, Position, Record, Repaired, StatusPart, StatusWrite,
    Written,
};

use super::{Projection, public};
use crate::{
    StorageError, keys,
    statuses::{WriteRef, raw_json},
};

/// The index of the first writes in their record: writes of a batch are numbered consecutively.
#[derive(Debug, Default, Clone, Copy)]
struct Before {
    state: usize,
    status: usize,
    timers: usize,
}

/// The record that effects are written by.
#[derive(Debug, Clone, Copy)]
struct WrittenBy {
    position: Position,
    at_ms: u64,
    /// The delivery's event, if it was an attempt.
    event: Option<Position>,
}

impl Projection {
    pub(super) fn committed(&mut self, position: Position, record: &Record) -> Result<(), StorageError> {
        let mut before = Before::default();
        for commit in record.commits() {
            self.count(commit);
            let by = WrittenBy { position, at_ms: commit.at_ms, event: Some(commit.event) };
            self.effects(by, commit.written(), before)?;
            self.migrated(commit)?;
            self.outcome(position, commit)?;
            before.state += commit.effects.state.len();
            before.status += commit.effects.status.len();
            before.timers += commit.effects.timers.len();
        }
        Ok(())
    }

    pub(super) fn repaired(&mut self, position: Position, repaired: &Repaired) -> Result<(), StorageError> {
        let by = WrittenBy { position, at_ms: repaired.at_ms, event: None };
        self.effects(by, repaired.written(), Before::default())?;
        for subject in &repaired.unset {
            self.status_unset(by, subject, &repaired.handler)?;
        }
        match repaired.effects.state.is_empty() {
            true => Ok(()),
            false => self.keep_state_version(repaired.written(), repaired.state_version),
        }
    }

    /// The handler has no status of the subject any more. The row stays, so that the document's version only grows. The
    /// runtime's status of a delivery stays as well.
    fn status_unset(&mut self, by: WrittenBy, subject: &str, handler: &HandlerName) -> Result<(), StorageError> {
        let Some((before, _)) = self.part(subject, handler)?.filter(|(part, _)| !part.removed) else { return Ok(()) };
        let (state, text, delivery) = (String::new(), String::new(), before.delivery);
        let (corrected, removed) = (delivery.is_some(), delivery.is_none());
        let (version, at_ms) = (by.position, by.at_ms);
        let part = StatusPart { version, at_ms, state, text, data: None, delivery, corrected, removed };
        self.stage_part(subject, handler, part, None);
        Ok(())
    }

    fn effects(&mut self, by: WrittenBy, written: Written<'_>, before: Before) -> Result<(), StorageError> {
        let effects = written.effects;
        self.state_written(by.position, written, before.state);
        for (index, write) in effects.status.iter().enumerate() {
            self.status_written(by, before.status + index, written, write)?;
        }
        for (index, write) in effects.timers.iter().enumerate() {
            self.timer_written(by.position, before.timers + index, written, write)?;
        }
        Ok(())
    }

    fn outcome(&mut self, position: Position, commit: &Commit) -> Result<(), StorageError> {
        if let Outcome::DeadLettered { .. } = commit.outcome {
            let delivery = commit.delivery();
            self.put(keys::dead_letter(&delivery), keys::position_value(position));
        }
        if !commit.effects.status.iter().any(|write| write.subject == commit.key) {
            self.show_delivery(position, commit)?;
        }
        Ok(())
    }

    /// The handler set the subject's status.
    fn status_written(
        &mut self,
        by: WrittenBy,
        index: usize,
        Written { handler, key, .. }: Written<'_>,
        write: &StatusWrite,
    ) -> Result<(), StorageError> {
        // The runtime's status of a delivery belongs to the delivery's own key, and is removed when it is completed.
        let delivery = self.shown(&write.subject, handler)?;
        let delivery = match by.event.filter(|_| write.subject == key) {
            Some(event) => delivery.and_then(|delivery| delivery.after(event)),
            None => delivery,
        };
        let part = StatusPart {
            version: by.position,
            at_ms: by.at_ms,
            state: write.state.clone(),
            text: write.text.clone(),
            data: raw_json(write.data.clone()),
            delivery,
            corrected: by.event.is_none(),
            removed: false,
        };
        let write_ref = u32::try_from(index).ok().map(|index| WriteRef(by.position, index));
        self.stage_part(&write.subject, handler, part, write_ref);
        Ok(())
    }

    /// The handler set no status for the key; the runtime shows the delivery's phase, if that has changed.
    fn show_delivery(&mut self, position: Position, commit: &Commit) -> Result<(), StorageError> {
        let said = self.shown(&commit.key, &commit.handler)?;
        let now = match &commit.outcome {
            Outcome::Completed | Outcome::Withheld => None,
            Outcome::Retry { due_ms, failure, .. } => Some(retrying(commit, *due_ms, failure)),
            Outcome::AwaitingCorrection { failure, .. } => Some(PartDelivery::AwaitingCorrection {
                event: commit.event,
                attempt: commit.attempt,
                message: public(&failure.message),
                what_is_wrong: public(failure.what_is_wrong.as_deref().unwrap_or_default()),
            }),
            Outcome::DeadLettered { failure, .. } => Some(PartDelivery::DeadLettered {
                event: commit.event,
                attempt: commit.attempt,
                message: public(&failure.message),
            }),
        };
        let delivery = match (said, now) {
            (Some(said), Some(now)) if said.outlasts(&now) => Some(said),
            (said, None) => said.and_then(|said| said.after(commit.event)),
            (_, now) => now,
        };
        self.say(position, &commit.key, &commit.handler, commit.at_ms, delivery)
    }

    /// Sets the status of a delivery's phase, if it has changed.
    pub(super) fn say(
        &mut self,
        position: Position,
        key: &str,
        handler: &HandlerName,
        at_ms: u64,
        delivery: Option<PartDelivery>,
    ) -> Result<(), StorageError> {
        if self.shown(key, handler)? == delivery {
            return Ok(());
        }
        let (before, write_ref) = self.part(key, handler)?.unzip();
        let (state, text) = (String::new(), String::new());
        let before = before.unwrap_or(StatusPart {
            version: position,
            at_ms,
            state,
            text,
            data: None,
            delivery: None,
            corrected: false,
            removed: false,
        });
        let part = StatusPart { version: position, at_ms, delivery, removed: false, ..before };
        self.stage_part(key, handler, part, write_ref.flatten());
        Ok(())
    }
}

fn retrying(commit: &Commit, due_ms: u64, failure: &AttemptFailure) -> PartDelivery {
    PartDelivery::Retrying {
        event: commit.event,
        attempt: commit.attempt,
        next_attempt_at_ms: due_ms,
        message: public(&failure.message),
    }
}
