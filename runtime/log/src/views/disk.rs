//! sled, kept at arm's length: one tree, one atomic batch a flush, every panic caught.

use std::{
    io::ErrorKind,
    ops::Bound::{Excluded, Included, Unbounded},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use weirgate_types::Position;

use super::{ViewError, memory::Generation};
use crate::{Epoch, storage::Lock};

/// Where the epoch and the applied position are kept. No other key may begin with a zero byte.
const ABOUT_KEY: &[u8] = b"\0about";
const VERSION: u8 = 1;
/// How many rows hold up those who read.
const EARLY_ROWS: usize = 256;
/// Two seconds in all.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(20);

pub struct Disk {
    db: sled::Db,
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

impl Disk {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ViewError> {
        wait_until_free(&dir.join("db"));
        // sled's own timer is off: a flush follows each batch, and nothing here has to outlive a power cut.
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        guard(|| config.open()).map(|db| Self { db })
    }

    pub fn found(&self) -> Result<Found, ViewError> {
        guard(|| {
            let Some(bytes) = self.db.get(ABOUT_KEY)? else {
                return Ok(if self.db.first()?.is_none() { Found::Nothing } else { Found::Unknown });
            };
            Ok(About::decode(&bytes).map_or(Found::Unknown, Found::Views))
        })
    }

    /// Say what the views are of, before the first row is written.
    pub fn say(&self, about: About) -> Result<(), ViewError> {
        guard(|| self.db.insert(ABOUT_KEY, about.encode()).map(drop))
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        guard(|| Ok(self.db.get(key)?.map(|value| value.to_vec())))
    }

    /// Entries whose keys begin with `prefix` and come after `after`, sorted; of each value what `keep` makes of it.
    pub fn range<'a, T: 'a>(
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

    /// Write the generation: what may be early first, a few rows at a time; then, all or nothing, the rest and the position.
    pub fn apply(&self, epoch: Epoch, generation: &Generation, early: &[u8]) -> Result<(), ViewError> {
        let is_early = |key: &[u8]| key.first().is_some_and(|first| early.contains(first));
        guard(|| {
            let mut rest = generation.changes().filter(|(key, _)| is_early(key)).peekable();
            while rest.peek().is_some() {
                self.db.apply_batch(batch(rest.by_ref().take(EARLY_ROWS)))?;
            }
            let mut batch = batch(generation.changes().filter(|(key, _)| !is_early(key)));
            batch.insert(ABOUT_KEY, About { epoch, applied: generation.applied }.encode());
            self.db.apply_batch(batch)?;
            self.db.flush().map(drop)
        })
    }
}

fn batch<'a>(changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}

impl About {
    fn encode(self) -> Vec<u8> {
        [&[VERSION][..], &self.epoch.0, &self.applied.0.to_le_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
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
        assert_eq!(About::decode(&about.encode()[1..]), None);
        assert_eq!(About::decode(b""), None);
    }
}
