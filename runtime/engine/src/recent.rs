//! The newest records that hold events, so that a delivery that follows at once need not read them back.

use std::{collections::VecDeque, sync::Arc};

use weirgate_types::{Commit, Event, Position, Record};

/// A bounded run of records in order of position.
#[derive(Debug)]
pub struct Recent {
    records: VecDeque<(Position, Arc<Record>)>,
    bytes: usize,
    bytes_max: usize,
}

impl Recent {
    pub fn new(bytes_max: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub fn push(&mut self, position: Position, record: Arc<Record>) {
        self.bytes += weight(&record);
        self.records.push_back((position, record));
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.records.pop_front() else { break };
            self.bytes -= weight(&oldest);
        }
    }

    /// The record that covers a position, with its own position.
    pub fn covering(&self, position: Position) -> Option<(Position, Arc<Record>)> {
        let after = self.records.partition_point(|(first, _)| *first <= position);
        let (first, record) = self.records.get(after.checked_sub(1)?)?;
        (position < first.plus(record.width())).then(|| (*first, Arc::clone(record)))
    }
}

/// About what a record takes in memory, in bytes: what it holds, and something for each thing that it holds.
fn weight(record: &Record) -> usize {
    const EACH: usize = 128;
    let event = |event: &Event| {
        let extensions = event.extensions.iter().map(|(name, value)| EACH + name.len() + value.len()).sum::<usize>();
        4 * EACH + event.data.len() + extensions + event.subject.as_ref().map_or(0, String::len)
    };
    let events = record.events(Position::ZERO).map(|(_, one)| event(one)).sum::<usize>();
    EACH + events + record.commits().iter().map(|commit| beside_events(commit, EACH)).sum::<usize>()
}

fn beside_events(commit: &Commit, each: usize) -> usize {
    let state = commit.effects.state.iter().map(|write| each + write.value.as_ref().map_or(0, Vec::len));
    let status =
        commit.effects.status.iter().map(|write| each + write.text.len() + write.data.as_ref().map_or(0, String::len));
    let log = commit.log.iter().map(|line| each + line.message.len());
    state.chain(status).chain(log).sum()
}

#[cfg(test)]
mod tests {
    use weirgate_types::DeliveryId;

    use super::*;

    fn attempted() -> Arc<Record> {
        let delivery = DeliveryId { handler: "a".parse().expect("a name"), position: Position(1) };
        Arc::new(Record::Attempted { delivery, attempt: 1, at_ms: 0 })
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut recent = Recent::new(2 * weight(&attempted()));
        for position in 1..=3 {
            recent.push(Position(position), attempted());
        }
        let held: Vec<_> = (0..5).map(|position| recent.covering(Position(position)).is_some()).collect();
        assert_eq!(held, [false, false, true, true, false]);
    }
}
