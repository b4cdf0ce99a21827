//! Tables against a sorted list, and with every byte damaged.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use weirgate_types::{Epoch, KeyHasher, Position};

use super::*;
use crate::row::Row;

fn origin() -> Origin {
    let (log, epoch) = (Epoch([1; 16]), Epoch([2; 16]));
    Origin { kind: Kind::Index, log, epoch, first: Position(1), last: Position(99_999), segment_end: 4_711 }
}

/// Rows of groups that have 1, 2, ... of them, with writes among them.
fn rows(count: u64) -> Vec<Row> {
    let hash = |number: u64| KeyHasher::new([5; 16]).hash(&number.to_string()).0;
    let (mut rows, mut number) = (Vec::new(), 0);
    for group in 1.. {
        for _ in 0..group {
            if number == count {
                rows.sort_unstable();
                return rows;
            }
            number += 1;
            let index = u32::try_from(number % 5).expect("small");
            rows.push(match group % 3 {
                0 => Row {
                    part: hash(number % 7) | 1,
                    index,
                    removed: number.is_multiple_of(11),
                    ..Row::posting(hash(group), Position(number * 3))
                },
                _ => Row::posting(hash(group), Position(number * 3)),
            });
        }
    }
    rows
}

fn written(rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = write(&origin(), rows.iter().copied().map(Ok), &mut bytes).expect("written");
    assert_eq!(size, bytes.len() as u64);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Table, TableError> {
    Table::open(Source::Memory(bytes.into()), &origin())
}

#[test]
fn a_table_finds_what_a_sorted_list_finds() {
    for count in [0, 1, 2, 300, 5_000, 60_000] {
        let rows = rows(count);
        let table = open(written(&rows)).expect("a table");
        table.verify().expect("sound");
        assert!(table.rows().map(|row| row.expect("a row")).eq(rows.iter().copied()), "{count}");
        for step in (0..rows.len()).step_by(rows.len() / 97 + 1) {
            let row = rows[step];
            assert!(table.may_hold(row.group).expect("a filter"));
            for place in [
                (row.group, row.part, row.position),
                (row.group, row.part, row.position.next()),
                (row.group, row.part, Position::ZERO),
                (row.group, row.part, Position(u64::MAX)),
                (row.group.wrapping_add(1), 0, Position::ZERO),
                (0, 0, Position::ZERO),
                (u64::MAX, u64::MAX, Position(u64::MAX)),
            ] {
                let at = rows.partition_point(|row| (row.group, row.part, row.position) < place);
                let found = table.rows_from(place).expect("rows").take(3).map(|row| row.expect("a row"));
                assert!(found.eq(rows[at..].iter().take(3).copied()), "{count} {place:?}");
                let before = at.checked_sub(1).map(|at| rows[at]);
                let before = before.filter(|row| (row.group, row.part) == (place.0, place.1));
                assert_eq!(table.last_before(place).expect("a row"), before, "{count} {place:?}");
            }
        }
    }
}

#[test]
fn no_damaged_table_answers_wrongly() {
    let rows = rows(900);
    let sound = written(&rows);
    let mut opened = 0;
    for at in (0..sound.len()).step_by(7) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        let Ok(table) = open(bytes) else { continue };
        opened += 1;
        assert!(matches!(table.verify(), Err(TableError::Damaged(_))), "byte {at}");
        let mut read = table.rows().take_while(Result::is_ok).map(|row| row.expect("a row"));
        assert!(rows.iter().zip(&mut read).all(|(one, other)| *one == other), "byte {at}");
    }
    assert!(opened > 1_000, "only the footer was damaged: {opened}");
    for end in [0, 1, 4_095, 4_096, sound.len() - 4_096, sound.len() - 1] {
        assert!(open(sound[..end].to_vec()).is_err(), "cut at {end}");
    }
    let others = [
        Origin { log: Epoch([9; 16]), ..origin() },
        Origin { epoch: Epoch([9; 16]), ..origin() },
        Origin { kind: Kind::Snapshot, ..origin() },
        Origin { last: Position(1), ..origin() },
        Origin { segment_end: 1, ..origin() },
    ];
    for other in others {
        assert!(Table::open(Source::Memory(sound.clone().into()), &other).is_err(), "{other:?}");
    }
}

#[test]
fn a_lookup_reads_few_pages() {
    /// A file that counts what is read.
    struct Counted(Vec<u8>, AtomicUsize);
    impl weirgate_log::StorageFile for Counted {
        fn size(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let start = usize::try_from(offset).expect("small");
            buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
            Ok(())
        }
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn sync_data(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
    let rows = rows(200_000);
    let file = Arc::new(Counted(written(&rows), AtomicUsize::new(0)));
    let table = Table::open(Source::File(file.clone()), &origin()).expect("a table");
    let reads = |look: &dyn Fn()| {
        let before = file.1.load(Ordering::Relaxed);
        look();
        file.1.load(Ordering::Relaxed) - before
    };
    for row in rows.iter().step_by(1_000) {
        let place = (row.group, row.part, row.position);
        assert_eq!(reads(&|| assert!(table.may_hold(row.group).expect("a filter"))), 1);
        assert!(reads(&|| assert!(table.rows_from(place).expect("rows").next().is_some())) <= 6);
        assert!(reads(&|| assert!(table.last_before(place).is_ok())) <= 6);
    }
}
