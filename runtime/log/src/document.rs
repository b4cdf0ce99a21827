//! `docs/formats/log.md` says what the code does: version, sizes, limits, numbers, names and widths are read from its tables
//! and compared with the code's own.

use std::collections::BTreeMap;

use weirgate_testkit::records::every_record;
use weirgate_types::*;

use crate::{LogOptions, format, log, note, seal};

const DOCUMENT: &str = include_str!("../../../docs/formats/log.md");
const MIB: u64 = 1 << 20;

/// The text from `heading` to the next heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    rest.split_once("\n#").map_or(rest, |(section, _)| section)
}

/// The rows of the first table in `text` whose head is `head`, as their cells.
fn table(text: &'static str, head: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = text.split_once(head).unwrap_or_else(|| panic!("no table {head:?}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<_>> = rows
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect())
        .collect();
    assert!(!rows.is_empty(), "the table {head:?} is empty");
    rows
}

/// The numbers that follow each `before` in the document.
fn numbers_after(before: &str) -> Vec<u64> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    DOCUMENT.split(before).skip(1).filter_map(|rest| digits(rest).parse().ok()).collect()
}

fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The name of a value's variant.
fn variant(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The fields of a header lie side by side and fill it. A last field without a size is what stands behind the header.
fn fills(heading: &str, bytes: usize) {
    let mut end = 0;
    for row in table(section(heading), "| offset | bytes | field |") {
        assert_eq!(row[0], end.to_string(), "{heading}: the offset of {}", row[2]);
        end += row[1].parse::<usize>().unwrap_or_default();
    }
    assert_eq!(end, bytes, "{heading}");
}

#[test]
fn versions_are_those_of_the_code() {
    for before in ["Format version ", "format version: ", "format version not ", "within format version "] {
        assert_eq!(numbers_after(before), [u64::from(format::VERSION)], "{before}");
    }
}

#[test]
fn headers_have_the_sizes_of_the_code() {
    fills("### Segment header, 64 bytes", format::SEGMENT_HEADER_BYTES);
    fills("### Batch: a header of 32 bytes, then frames", format::BATCH_HEADER_BYTES);
    fills("### Frame: 12 bytes, then a record", format::FRAME_HEADER_BYTES);
    fills("## The note of the durable head", note::BYTES);
    fills("### Seal: a header of 64 bytes, then the index", seal::SEAL_HEADER_BYTES);
    for (heading, bytes) in [
        ("### Segment header, ", format::SEGMENT_HEADER_BYTES),
        ("### Batch: a header of ", format::BATCH_HEADER_BYTES),
        ("### Frame: ", format::FRAME_HEADER_BYTES),
        ("The file `head`, ", note::BYTES),
        ("### Seal: a header of ", seal::SEAL_HEADER_BYTES),
    ] {
        assert_eq!(numbers_after(heading), [bytes as u64], "{heading}");
    }
}

#[test]
fn limits_are_those_of_the_code() {
    let LogOptions { segment_bytes_max, reserve_bytes, batch_bytes_max } = LogOptions::default();
    assert_eq!(numbers_after("`segment_bytes_max`, ").first(), Some(&(segment_bytes_max / MIB)));
    assert_eq!(numbers_after("`batch_bytes_max`, ").first(), Some(&(batch_bytes_max as u64 / MIB)));
    assert_eq!(numbers_after("by default, never more than "), [log::BYTES_MAX as u64 >> 30]);
    assert_eq!(numbers_after("in steps of `reserve_bytes` ("), [reserve_bytes / MIB]);
}

/// How many positions a record of this rule takes.
fn width(rule: &str, record: &Record) -> u64 {
    let emitted = match record {
        Record::DeliveryDecided(decided) => decided.emitted.len(),
        Record::Released { emitted, .. } => emitted.len(),
        Record::CorrectionRefused(refused) => usize::from(refused.notice.is_some()),
        other => other.effects().map(|written| written.effects.emitted.len()).sum(),
    };
    match (rule, record) {
        ("`positions`", Record::Lost(lost)) => lost.positions.into(),
        ("1 + emitted" | "1 or 2", _) => 1 + emitted as u64,
        (rule, _) => rule.parse().unwrap_or_else(|_| panic!("a width of {rule:?}")),
    }
}

#[test]
fn records_have_their_numbers_names_and_widths() {
    let rows = table(section("## Records"), "| number | variant | width | fields in order |");
    let mut named = BTreeMap::new();
    for record in every_record() {
        let bytes = record.encode(Vec::new()).expect("encoded");
        let row = rows.get(usize::from(bytes[0])).unwrap_or_else(|| panic!("no row for {record:?}"));
        assert_eq!((row[0], words(row[1])), (&*bytes[0].to_string(), vec![&*variant(&record)]));
        assert_eq!(record.width(), width(row[2], &record), "{}", row[1]);
        named.insert(bytes[0], row[1]);
    }
    assert_eq!(named.len(), rows.len(), "rows without a record in `every_record`");
    // A number that has a variant lacks its fields here; the first one without is refused as what it is.
    let refusal = |number: usize| {
        let number = u8::try_from(number).expect("few variants");
        Record::decode(&[number]).expect_err("no fields").to_string()
    };
    assert_eq!(refusal(rows.len() - 1), refusal(0));
    assert_ne!(refusal(rows.len()), refusal(0), "a variant has no row");
}

#[test]
fn outcomes_and_commands_have_their_names() {
    let (mut outcomes, mut commands) = (Vec::new(), Vec::new());
    for record in every_record() {
        for name in record.commits().iter().map(|commit| variant(&commit.outcome)) {
            if !outcomes.contains(&name) {
                outcomes.push(name);
            }
        }
        if let Record::DeliveryDecided(decided) = &record {
            commands.push(variant(&decided.command));
        }
    }
    let rows = table(section("## Records"), "| enum | variants from 0 on |");
    for (name, found) in [("outcome", outcomes), ("command", commands)] {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no row {name}"));
        let capital = |word: &&str| word.starts_with(|first: char| first.is_ascii_uppercase());
        assert_eq!(words(row[1]).into_iter().filter(capital).collect::<Vec<_>>(), found, "{name}");
    }
}

/// What is read of an accepted event without decoding it is what decoding finds.
#[test]
fn the_identity_of_an_accepted_event_is_read_from_its_bytes() {
    for record in every_record() {
        let bytes = record.encode(Vec::new()).expect("encoded");
        let expected = match &record {
            Record::Accepted { event, .. } => Some((event.source.as_str(), event.id.as_str())),
            _ => None,
        };
        assert_eq!(Record::accepted_identity(&bytes), Some(expected), "{record:?}");
        if expected.is_some() {
            assert_eq!(Record::accepted_identity(&bytes[..2]), None, "it is cut off");
        }
    }
    assert_eq!(Record::accepted_identity(&[]), None);
}
