//! The newest records that hold events, so that a delivery that follows at once need not read them back.

use std::{collections::VecDeque, sync::Arc};

use weirgate_types::{Position, Record};

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

/// About what a record takes in memory, in bytes.
fn weight(record: &Record) -> usize {
    let events = record.events(Position::ZERO).map(|(_, event)| 512 + event.data.len()).sum::<usize>();
    let written = match record {
        Record::Committed(commit) => {
            commit.effects.state.iter().map(|write| write.value.as_ref().map_or(0, Vec::len)).sum()
        }
        _ => 0,
    };
    512 + events + written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused() -> Arc<Record> {
        Arc::new(Record::Paused { handler: "a".parse().expect("a name"), at_ms: 0 })
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut recent = Recent::new(2 * 512);
        for position in 1..=3 {
            recent.push(Position(position), paused());
        }
        let held: Vec<_> = (0..5).map(|position| recent.covering(Position(position)).is_some()).collect();
        assert_eq!(held, [false, false, true, true, false]);
    }
}
