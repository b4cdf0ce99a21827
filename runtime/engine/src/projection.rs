//! From records to views: which rows a record changes, and which status parts it makes public.

use std::collections::HashMap;

use weirgate_log::Change;
use weirgate_types::{
    Commit, DeliveryId, HandlerName, Outcome, PartDelivery, Position, Record, StatusPart, StatusWrite,
};

use crate::{
    Refusal,
    rows::{self, Stored},
    statuses::{self, Place, Statuses, raw_json},
};

/// The longest message of a failure that is shown to whoever watches the subject, in characters.
const PUBLIC_MESSAGE_CHARS_MAX: usize = 200;

/// What a run of records changes, gathered until it is durable.
pub struct Projection {
    statuses: Statuses,
    changes: Vec<Change>,
    parts: Vec<PublicPart>,
    /// Identities accepted in this run, which the view does not know yet.
    accepted: HashMap<Vec<u8>, Position>,
}

/// A part of a status that is to be published.
#[derive(Debug)]
pub struct PublicPart {
    pub subject: String,
    pub handler: HandlerName,
    pub part: StatusPart,
    /// Where the part's data was written.
    place: Option<Place>,
}

impl Projection {
    pub fn new(statuses: Statuses) -> Self {
        Self { statuses, changes: Vec::new(), parts: Vec::new(), accepted: HashMap::new() }
    }

    /// Where an event of this identity stands, if one was accepted before.
    pub fn first_position(&self, source: &str, id: &str) -> Result<Option<Position>, Refusal> {
        let row = rows::identity(source, id);
        if let Some(position) = self.accepted.get(&row) {
            return Ok(Some(*position));
        }
        Ok(self.statuses.views.get(&row)?.and_then(|value| rows::value_position(&value)))
    }

    /// Take in a record that stands at `position`.
    pub fn project(&mut self, position: Position, record: &Record) -> Result<(), Refusal> {
        match record {
            Record::Accepted { event, .. } => {
                let row = rows::identity(&event.source, &event.id);
                self.accepted.insert(row.clone(), position);
                self.put(row, rows::position_value(position), true);
            }
            Record::Committed(commit) => self.committed(position, commit)?,
            Record::Resubmitted { delivery, key, at_ms } => self.resubmitted(position, delivery, key, *at_ms)?,
            Record::Attempted { .. } | Record::Deployed(_) | Record::Paused { .. } | Record::Resumed { .. } => {}
        }
        Ok(())
    }

    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>, is_new: bool) {
        self.changes.push(Change { key, value: Some(value), is_new });
    }

    pub fn remove(&mut self, key: Vec<u8>) {
        self.changes.push(Change { key, value: None, is_new: false });
    }

    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Hand over what was gathered: the view's changes and the parts to publish.
    pub fn take(&mut self) -> (Vec<Change>, Vec<PublicPart>) {
        self.accepted.clear();
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.parts))
    }

    fn committed(&mut self, position: Position, commit: &Commit) -> Result<(), Refusal> {
        for (index, write) in commit.effects.state.iter().enumerate() {
            let mut row = rows::states(&commit.handler, &commit.key);
            row.extend_from_slice(write.name.as_bytes());
            match &write.value {
                Some(value) => self.put(row, Stored::new(value, position, index).encode(), false),
                None => self.remove(row),
            }
        }
        for (index, write) in commit.effects.status.iter().enumerate() {
            self.written(position, index, commit, write)?;
        }
        if let Outcome::DeadLettered { .. } = &commit.outcome {
            let delivery = DeliveryId { handler: commit.handler.clone(), position: commit.event };
            self.put(rows::dead_letter(&delivery), rows::position_value(position), false);
        }
        if !commit.effects.status.iter().any(|write| write.subject == commit.key) {
            self.stands(position, commit)?;
        }
        Ok(())
    }

    /// The handler said how the subject stands.
    fn written(
        &mut self,
        position: Position,
        index: usize,
        commit: &Commit,
        write: &StatusWrite,
    ) -> Result<(), Refusal> {
        // What the runtime says of a delivery is said of the delivery's own key, and ends with its completion.
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
        let place = u16::try_from(index).ok().map(|index| (position, index));
        self.publish(&write.subject, &commit.handler, part, place);
        Ok(())
    }

    /// The handler said nothing of the key; the runtime says how the delivery stands, where that has changed.
    fn stands(&mut self, position: Position, commit: &Commit) -> Result<(), Refusal> {
        let (event, attempt) = (commit.event, commit.attempt);
        let (before, place) = self.part(&commit.key, &commit.handler)?.unzip();
        let said = before.as_ref().and_then(|part| part.delivery.clone());
        let delivery = match &commit.outcome {
            Outcome::Completed => said.clone().and_then(|delivery| delivery.after(event)),
            Outcome::Retry { due_ms, failure } => {
                let message = public(&failure.message);
                Some(PartDelivery::Retrying { event, attempt, next_attempt_at_ms: *due_ms, message })
            }
            Outcome::DeadLettered { failure } => {
                Some(PartDelivery::DeadLettered { event, attempt, message: public(&failure.message) })
            }
        };
        if said == delivery {
            return Ok(());
        }
        let part = match before {
            Some(part) => StatusPart { version: position, at_ms: commit.at_ms, delivery, ..part },
            None => StatusPart {
                version: position,
                at_ms: commit.at_ms,
                state: String::new(),
                text: String::new(),
                data: None,
                delivery,
            },
        };
        self.publish(&commit.key, &commit.handler, part, place.flatten());
        Ok(())
    }

    /// A dead letter is open again; it is dead no more, and what comes of it is still to be seen.
    fn resubmitted(&mut self, position: Position, delivery: &DeliveryId, key: &str, at_ms: u64) -> Result<(), Refusal> {
        self.remove(rows::dead_letter(delivery));
        let Some((part, place)) = self.part(key, &delivery.handler)? else { return Ok(()) };
        if matches!(part.delivery, Some(PartDelivery::DeadLettered { event, .. }) if event == delivery.position) {
            let part = StatusPart { version: position, at_ms, delivery: None, ..part };
            self.publish(key, &delivery.handler, part, place);
        }
        Ok(())
    }

    fn part(&self, subject: &str, handler: &HandlerName) -> Result<Option<(StatusPart, Option<Place>)>, Refusal> {
        let of_this_run = self.parts.iter().rfind(|part| part.subject == subject && part.handler == *handler);
        match of_this_run {
            Some(public) => Ok(Some((public.part.clone(), public.place))),
            None => self.statuses.part(subject, handler),
        }
    }

    fn publish(&mut self, subject: &str, handler: &HandlerName, part: StatusPart, place: Option<Place>) {
        self.changes.push(statuses::row(subject, handler, &part, place));
        self.parts.push(PublicPart { subject: subject.to_owned(), handler: handler.clone(), part, place });
    }
}

fn public(message: &str) -> String {
    message.chars().take(PUBLIC_MESSAGE_CHARS_MAX).collect()
}
