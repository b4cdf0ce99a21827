//! What commits change in the views: state, statuses, dead letters, timers.

use weirgate_types::{AttemptFailure, Commit, Outcome, PartDelivery, Position, Record, StatusPart, StatusWrite};

use super::{Projection, public};
use crate::{
    StorageError,
    keys::{self, Stored},
    statuses::{WriteRef, raw_json},
};

/// The index of a commit's first write in its record: writes of a batch are numbered consecutively.
#[derive(Debug, Default, Clone, Copy)]
struct Before {
    state: usize,
    status: usize,
    timers: usize,
}

impl Projection {
    pub(super) fn committed(&mut self, position: Position, record: &Record) -> Result<(), StorageError> {
        let mut before = Before::default();
        for commit in record.commits() {
            self.count(commit);
            self.commit(position, commit, before)?;
            before.state += commit.effects.state.len();
            before.status += commit.effects.status.len();
            before.timers += commit.effects.timers.len();
        }
        Ok(())
    }

    fn commit(&mut self, position: Position, commit: &Commit, before: Before) -> Result<(), StorageError> {
        for (index, write) in commit.effects.state.iter().enumerate() {
            let mut row = keys::states(&commit.handler, &commit.key);
            row.extend_from_slice(write.name.as_bytes());
            match &write.value {
                Some(value) => self.put(row, Stored::new(value, position, before.state + index).encode()),
                None => self.remove(row),
            }
        }
        for (index, write) in commit.effects.status.iter().enumerate() {
            self.written(position, before.status + index, commit, write)?;
        }
        for (index, write) in commit.effects.timers.iter().enumerate() {
            self.timer_written(position, before.timers + index, commit, write)?;
        }
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
    fn written(
        &mut self,
        position: Position,
        index: usize,
        commit: &Commit,
        write: &StatusWrite,
    ) -> Result<(), StorageError> {
        // The runtime's status of a delivery belongs to the delivery's own key, and is removed when it is completed.
        let delivery = self.part(&write.subject, &commit.handler)?.and_then(|(part, _)| part.delivery);
        let delivery = match write.subject == commit.key {
            true => delivery.and_then(|delivery| delivery.after(commit.event)),
            false => delivery,
        };
        let part = StatusPart {
            version: position,
            at_ms: commit.at_ms,
            state: write.state.clone(),
            text: write.text.clone(),
            data: raw_json(write.data.clone()),
            delivery,
        };
        let write_ref = u32::try_from(index).ok().map(|index| WriteRef(position, index));
        self.stage_part(&write.subject, &commit.handler, part, write_ref);
        Ok(())
    }

    /// The handler set no status for the key; the runtime shows the delivery's phase, if that has changed.
    fn show_delivery(&mut self, position: Position, commit: &Commit) -> Result<(), StorageError> {
        let said = self.part(&commit.key, &commit.handler)?.and_then(|(part, _)| part.delivery);
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
        handler: &weirgate_types::HandlerName,
        at_ms: u64,
        delivery: Option<PartDelivery>,
    ) -> Result<(), StorageError> {
        let (before, write_ref) = self.part(key, handler)?.unzip();
        if before.as_ref().and_then(|part| part.delivery.as_ref()) == delivery.as_ref() {
            return Ok(());
        }
        let (state, text) = (String::new(), String::new());
        let before = before.unwrap_or(StatusPart { version: position, at_ms, state, text, data: None, delivery: None });
        let part = StatusPart { version: position, at_ms, delivery, ..before };
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
