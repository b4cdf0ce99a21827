//! sled, kept at arm's length: one tree, all or nothing of a flush, every panic caught.

use std::{
    io::ErrorKind,
    ops::Bound::{Excluded, Included, Unbounded},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use weirgate_types::Position;

#[cfg(any(test, feature = "sim"))]
use super::sim::SimRows;
use super::{
    ViewError,
    memory::Generation,
    redo::{Half, Redo},
};
use crate::{Epoch, storage::Lock};

/// Where the epoch and the applied position are kept. No other key may begin with a zero byte.
const ABOUT_KEY: &[u8] = b"\0about";
const VERSION: u8 = 2;
/// Two seconds in all.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(20);

pub enum Disk {
    Sled(Sled),
    #[cfg(any(test, feature = "sim"))]
    Sim(SimRows),
}

pub struct Sled {
    db: sled::Db,
    redo: Redo,
}

/// Which log the views are of, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub epoch: Epoch,
    pub applied: Position,
}

/// What is found at opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Views(About),
    /// Entries, but not what they are of.
    Unknown,
}

/// Keys and what is kept of their values.
type Kept<'a, T> = Box<dyn Iterator<Item = Result<(Vec<u8>, T), ViewError>> + 'a>;

impl Disk {
    /// Open sled in `dir`, and finish what was being written when it was last used.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ViewError> {
        Sled::open(dir, cache_bytes).map(Self::Sled)
    }

    pub fn found(&self) -> Result<Found, ViewError> {
        match self {
            Self::Sled(sled) => sled.found(),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => Ok(rows.found()),
        }
    }

    /// Say what the views are of, before the first row is written.
    pub fn say(&self, about: About) -> Result<(), ViewError> {
        match self {
            Self::Sled(sled) => sled.say(about),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                rows.write(about, std::iter::empty());
                Ok(())
            }
        }
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        match self {
            Self::Sled(sled) => sled.get(key),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => Ok(rows.get(key)),
        }
    }

    /// Entries whose keys begin with `prefix` and come after `after`, sorted; of each value what `keep` makes of it.
    pub fn range<'a, T: 'a>(
        &self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        keep: impl Fn(&[u8]) -> T + 'a,
    ) -> Kept<'a, T> {
        match self {
            Self::Sled(sled) => Box::new(sled.range(prefix, after, keep)),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                Box::new(rows.range(prefix, after).into_iter().map(move |(key, value)| Ok((key, keep(&value)))))
            }
        }
    }

    /// Write the generation, all or nothing. Whoever reads meanwhile may see a part of it.
    pub fn apply(&self, epoch: Epoch, generation: &Generation) -> Result<(), ViewError> {
        let about = About { epoch, applied: generation.applied };
        match self {
            Self::Sled(sled) => sled.apply(about, generation),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                rows.write(about, generation.changes());
                Ok(())
            }
        }
    }
}

impl Sled {
    fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ViewError> {
        wait_until_free(&dir.join("db"));
        // sled's own timer is off: each generation ends with a flush, and nothing here has to outlive a power cut.
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = guard(|| config.open())?;
        let path = dir.join("redo");
        let half = guard(|| Ok(Redo::read(&path)?))?;
        let disk = Self { db, redo: guard(|| Ok(Redo::open(&path)?))? };
        if let Some(half) = half {
            disk.finish(&half)?;
        }
        Ok(disk)
    }

    /// Write the rest of a half. It may have been written to the end, only not cleared.
    fn finish(&self, Half { base, about, rows }: &Half) -> Result<(), ViewError> {
        match self.found()? {
            Found::Views(found) if found.epoch == about.epoch && [*base, about.applied].contains(&found.applied) => {
                self.write(*about, rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref())))
            }
            found => {
                Err(ViewError::Failed(format!("what was being written builds on position {base}, not on {found:?}")))
            }
        }
    }

    fn found(&self) -> Result<Found, ViewError> {
        guard(|| {
            let Some(bytes) = self.db.get(ABOUT_KEY)? else {
                return Ok(if self.db.first()?.is_none() { Found::Nothing } else { Found::Unknown });
            };
            Ok(About::decode(&bytes).map_or(Found::Unknown, Found::Views))
        })
    }

    fn say(&self, about: About) -> Result<(), ViewError> {
        guard(|| {
            self.db.insert(ABOUT_KEY, about.encode())?;
            self.db.flush().map(drop)
        })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        guard(|| Ok(self.db.get(key)?.map(|value| value.to_vec())))
    }

    fn range<'a, T: 'a>(
        &self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        keep: impl Fn(&[u8]) -> T + 'a,
    ) -> impl Iterator<Item = Result<(Vec<u8>, T), ViewError>> + 'a {
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let mut entries = self.db.range::<&[u8], _>((start, Unbounded));
        std::iter::from_fn(move || match guard(|| entries.next().transpose()) {
            Ok(entry) => entry.map(|(key, value)| Ok((key.to_vec(), keep(&value)))),
            Err(error) => Some(Err(error)),
        })
        .filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| key.as_slice() == ABOUT_KEY))
        .take_while(move |entry| entry.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
    }

    fn apply(&self, about: About, generation: &Generation) -> Result<(), ViewError> {
        guard(|| Ok(self.redo.write(generation.base, about, generation.changes())?))?;
        self.write(about, generation.changes())
    }

    fn write<'a>(
        &self,
        about: About,
        rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), ViewError> {
        guard(|| {
            for (key, value) in rows {
                match value {
                    Some(value) => self.db.insert(key, value)?,
                    None => self.db.remove(key)?,
                };
            }
            self.db.insert(ABOUT_KEY, about.encode())?;
            self.db.flush()?;
            Ok(self.redo.clear()?)
        })
    }
}

impl About {
    pub const BYTES: usize = 25;

    pub fn encode(self) -> Vec<u8> {
        [&[VERSION][..], &self.epoch.0, &self.applied.0.to_le_bytes()].concat()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (applied, rest) = rest.split_first_chunk::<8>()?;
        let sound = *version == VERSION && rest.is_empty();
        sound.then(|| Self { epoch: Epoch(*epoch), applied: Position(u64::from_le_bytes(*applied)) })
    }
}

/// sled locks its file by itself, and leaves it to the end of the file's last user to unlock it. A child process that was
/// being started when sled was last closed is such a user for a moment. The views' directory is locked for us, so there
/// is no other.
fn wait_until_free(file: &Path) {
    for _ in 0..LOCK_TRIES_MAX {
        if !file.exists() || !matches!(Lock::take(file), Ok(None)) {
            return;
        }
        std::thread::park_timeout(LOCK_RETRY_DELAY);
    }
}

/// sled panics on some kinds of damage, where it should return an error.
fn guard<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, ViewError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failure(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(ViewError::Failed(format!("sled panicked: {text}")))
        }
    }
}

fn failure(error: &sled::Error) -> ViewError {
    match error {
        sled::Error::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            ViewError::Full(error.to_string())
        }
        _ => ViewError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guard::<()>(|| panic!("number {}", 7)).expect_err("a panic");
        assert_eq!(error, ViewError::Failed("sled panicked: number 7".into()));
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let found = |kind: ErrorKind| guard::<()>(|| Err(sled::Error::Io(kind.into()))).expect_err("an error");
        assert!(matches!(found(ErrorKind::StorageFull), ViewError::Full(_)));
        assert!(matches!(found(ErrorKind::QuotaExceeded), ViewError::Full(_)));
        assert!(matches!(found(ErrorKind::PermissionDenied), ViewError::Failed(_)));
    }

    #[test]
    fn about_is_read_as_written() {
        let about = About { epoch: Epoch([3; 16]), applied: Position(77) };
        assert_eq!(About::decode(&about.encode()), Some(about));
        assert_eq!(about.encode().len(), About::BYTES);
        assert_eq!(About::decode(&about.encode()[1..]), None);
        assert_eq!(About::decode(b""), None);
    }
}
