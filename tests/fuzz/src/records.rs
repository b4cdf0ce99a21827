//! One record's bytes, as in a frame with the right checksum.

use weirgate_types::{Position, Record};

pub const WORDS: &[&str] = &["inventory", "order/o-1", "order.placed", "partitionkey", "\u{80}\u{80}\u{1}"];

pub fn run(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    let encoded = record.encode(Vec::new()).expect("it was read, so it can be written");
    assert!(encoded.len() <= bytes.len(), "{} bytes became {}", bytes.len(), encoded.len());
    assert_eq!(Record::decode(&encoded).as_ref(), Ok(&record));
    check_positions(&record);
}

/// Each position after the record's own belongs to an event, and no other does.
fn check_positions(record: &Record) {
    let width = record.width();
    let first = Position(7);
    let own = u64::from(record.event_at(0).is_some());
    let events: Vec<_> = record.events(first).map(|(position, _)| position).collect();
    // A record that replaces lost ones has no events.
    let expected = if matches!(record, Record::Lost(_)) { 0 } else { width - 1 + own };
    assert_eq!(events.len() as u64, expected);
    assert!(events.is_sorted() && record.event_at(width).is_none() && record.event_at(u64::MAX).is_none());
    // What lists and views read from any record.
    let _ = (record.at_ms(), record.addressee(), record.commits().len());
}
