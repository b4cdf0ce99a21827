//! Events with numbers, and their outcomes.

use std::collections::BTreeMap;

use weirgate_types::{Event, Position, Record};

use super::{World, event};

pub const TIMEOUT_MS: u64 = 1_000;
pub const SEQUENCE: &str = r#","resequence":{"first":1,"gap_timeout_ms":1000},"retry":[{"attempts":100,"first_delay_ms":10,"jitter":"none","factor":1}]"#;

impl World {
    /// Publishes an event with a number.
    pub fn publish_numbered(&mut self, id: u64, key: &str, number: u64) -> Position {
        let extensions = BTreeMap::from([("sequence".to_owned(), number.to_string().into())]);
        let event = Event { extensions, ..event(id, key, "order.placed") };
        let position = self.stage(Record::Accepted { event, to: None, at_ms: self.now_ms });
        self.settle();
        position
    }
}

/// Publishes these numbers of a key.
pub fn publish(world: &mut World, key: &str, numbers: &[u64]) -> Vec<Position> {
    let id = world.log.len() as u64 * 1_000;
    numbers.iter().zip(id..).map(|(number, id)| world.publish_numbered(id, key, *number)).collect()
}

pub fn number(world: &World, position: Position) -> u64 {
    world.event_at(position).sequence().unwrap_or(0)
}

/// The numbers of the running deliveries.
pub fn running(world: &World) -> Vec<u64> {
    world.calls.iter().map(|(delivery, _)| number(world, delivery.position)).collect()
}

/// Completes all runnable deliveries, and returns the numbers in the order in which they ran; 0 for those without.
pub fn run(world: &mut World) -> Vec<u64> {
    let mut done = Vec::new();
    while !world.calls.is_empty() {
        let position = world.answer(Ok(())).position;
        done.push(number(world, position));
    }
    done
}

/// The reported gaps: key, expected number, found number.
pub fn gaps_by_key(world: &World) -> impl Iterator<Item = (&str, u64, u64)> {
    world.log.iter().filter_map(|(_, record)| match record {
        Record::GapPassed(gap) => Some((gap.key.as_str(), gap.expected, gap.found)),
        _ => None,
    })
}

/// The same, regardless of key.
pub fn gaps(world: &World) -> Vec<(u64, u64)> {
    gaps_by_key(world).map(|(_, expected, found)| (expected, found)).collect()
}
