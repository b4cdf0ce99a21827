//! The newest records that hold events, so that a delivery that follows at once need not read them from the log.

use std::{collections::VecDeque, sync::Arc};

use weirgate_types::{Commit, Effects, Event, LogLine, Position, Record};

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

/// Approximate overhead of a string or another small item, in bytes.
const EACH: usize = 64;
/// Overhead of a map of strings with at least one entry, in bytes.
const MAP: usize = 512;

/// Approximate memory of a record, in bytes: its contents, and an overhead per item.
fn weight(record: &Record) -> usize {
    let events = record.events(Position::ZERO).map(|(_, event)| weight_of_event(event)).sum::<usize>();
    let effects = record.effects().map(|written| weight_of_effects(written.effects)).sum::<usize>();
    size_of::<Record>()
        + events
        + effects
        + record.commits().iter().map(|commit| weight_of_log(&commit.log)).sum::<usize>()
}

fn weight_of_event(event: &Event) -> usize {
    let Event { id, source, r#type, subject, time, data_content_type, data_schema, extensions, implied_key: _, data } =
        event;
    let given = [subject, time, data_content_type, data_schema].into_iter().flatten();
    let strings = [id, source, r#type].into_iter().chain(given).map(String::len);
    let strings = strings.chain(extensions.iter().map(|(name, value)| name.len() + value.len()));
    let map = if extensions.is_empty() { 0 } else { MAP };
    size_of::<Event>() + strings.map(|len| EACH + len).sum::<usize>() + map + data.len()
}

/// The events aside.
fn weight_of_effects(effects: &Effects) -> usize {
    let state = effects.state.iter().map(|write| EACH + write.value.as_ref().map_or(0, Vec::len));
    let status =
        effects.status.iter().map(|write| EACH + write.text.len() + write.data.as_ref().map_or(0, String::len));
    state.chain(status).sum()
}

fn weight_of_log(lines: &[LogLine]) -> usize {
    size_of::<Commit>() + lines.iter().map(|line| EACH + line.message.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use weirgate_types::DeliveryId;

    use super::*;

    fn attempted() -> Arc<Record> {
        let delivery = DeliveryId { handler: "a".parse().expect("a name"), position: Position(1) };
        let (version, call) = (Position(1), Position(1));
        Arc::new(Record::Attempted { delivery, attempt: 1, version, call, at_ms: 0, wall_behind_ms: 0 })
    }

    #[test]
    fn the_oldest_records_are_dropped_beyond_the_limit() {
        let mut recent = Recent::new(2 * weight(&attempted()));
        for position in 1..=3 {
            recent.push(Position(position), attempted());
        }
        let held: Vec<_> = (0..5).map(|position| recent.covering(Position(position)).is_some()).collect();
        assert_eq!(held, [false, false, true, true, false]);
    }
}
