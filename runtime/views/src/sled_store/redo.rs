//! The redo entry: what is on its way to sled, written down beside it first. sled takes the rows one by one; a process that is
//! killed among them leaves a part of a batch, and the next one that opens the views finds all of it here. A batch of sled's own
//! would do the same, but sled blocks all reads while it writes one.
//!
//! Synced before the first row is written to sled; sled's files are synced before the next redo entry is written. So after a
//! power cut sled holds one generation completely and at most a part of the next, and the rest of that is here.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crc32c::crc32c;

use weirgate_types::Position;

use crate::about::About;

/// A value length that means "removed".
const REMOVED: u16 = u16::MAX;
/// Checksum and length of the contents.
const HEADER_BYTES: u64 = 12;

/// A changed key and its value, `None` if it is removed.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

pub struct Redo {
    file: File,
}

/// What was written down of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct RedoEntry {
    /// The header that sled had before.
    pub base: Position,
    /// What it will be of then.
    pub about: About,
    pub rows: Vec<Row>,
}

impl Redo {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file })
    }

    /// Writes the redo entry of a flush to sled, which has header `base` before and `header` afterwards.
    pub fn write<'a>(
        &self,
        base: Position,
        about: About,
        rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> io::Result<()> {
        let mut body = about.encode();
        body.extend(base.0.to_le_bytes());
        for (key, value) in rows {
            body.extend(length(key).to_le_bytes());
            body.extend(value.map_or(REMOVED, length).to_le_bytes());
            body.extend_from_slice(key);
            body.extend_from_slice(value.unwrap_or_default());
        }
        let header = [&crc32c(&body).to_le_bytes()[..], &(body.len() as u64).to_le_bytes()].concat();
        self.file.write_all_at(&body, HEADER_BYTES)?;
        self.file.write_all_at(&header, 0)?;
        self.file.sync_data()
    }

    /// sled has it all.
    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// The redo entry that was not cleared; `None` if writing it was interrupted, because sled has nothing of it then.
    pub fn read(path: &Path) -> io::Result<Option<RedoEntry>> {
        match fs::read(path) {
            Ok(bytes) => Ok(decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn decode(bytes: &[u8]) -> Option<RedoEntry> {
    let (checksum, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let body = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    if crc32c(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (about, rest) = body.split_at_checked(About::BYTES)?;
    let (base, mut rest) = rest.split_first_chunk::<8>()?;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (row, after) = row(rest)?;
        rows.push(row);
        rest = after;
    }
    Some(RedoEntry { base: Position(u64::from_le_bytes(*base)), about: About::decode(about)?, rows })
}

/// Keys and values have far lower limits.
fn length(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(REMOVED)
}

fn row(bytes: &[u8]) -> Option<(Row, &[u8])> {
    let (key_length, rest) = bytes.split_first_chunk::<2>()?;
    let (value_length, rest) = rest.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*key_length).into())?;
    match u16::from_le_bytes(*value_length) {
        REMOVED => Some(((key.to_vec(), None), rest)),
        length => {
            let (value, rest) = rest.split_at_checked(length.into())?;
            Some(((key.to_vec(), Some(value.to_vec())), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::Epoch;

    use super::*;
    use crate::about::Origin;

    const BASE: Position = Position(70);
    const ORIGIN: Origin = Origin { log: Epoch([3; 16]), epoch: Epoch([3; 16]) };
    const ABOUT: About = About { origin: ORIGIN, applied: Position(77), sum: 5 };

    fn written(path: &Path) -> Vec<Row> {
        let rows: Vec<Row> =
            vec![(b"a".into(), Some(b"1".into())), (b"b".into(), None), (b"c".into(), Some(Vec::new()))];
        let redo = Redo::open(path).expect("a file");
        redo.write(BASE, ABOUT, rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))).expect("written");
        rows
    }

    #[test]
    fn a_redo_entry_is_read_until_it_is_cleared() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("redo");
        let read = || Redo::read(&path).expect("it can be read");
        assert_eq!(read(), None);
        let rows = written(&path);
        assert_eq!(read(), Some(RedoEntry { base: BASE, about: ABOUT, rows }));
        // If it is shorter than before, the bytes behind its end do not matter.
        let redo = Redo::open(&path).expect("a file");
        redo.write(BASE, ABOUT, std::iter::empty()).expect("written");
        assert_eq!(read(), Some(RedoEntry { base: BASE, about: ABOUT, rows: Vec::new() }));
        redo.clear().expect("cleared");
        assert_eq!(read(), None);
    }

    #[test]
    fn a_truncated_redo_entry_is_ignored() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("redo");
        written(&path);
        let whole = fs::read(&path).expect("its bytes");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            assert_eq!(Redo::read(&path).expect("it can be read"), None, "{cut} bytes");
            let mut wrong = whole.clone();
            wrong[cut] ^= 1;
            fs::write(&path, wrong).expect("written");
            assert_eq!(Redo::read(&path).expect("it can be read"), None, "byte {cut}");
        }
    }

    #[test]
    fn an_unreadable_redo_entry_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        Redo::read(dir.path()).expect_err("a directory is no file");
    }
}
