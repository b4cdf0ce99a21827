//! The directory that views live in, and whether to believe what is found there.
//!
//! sled does not sync what it writes, so after a power cut its files may hold a mixture of old and new that looks sound.
//! After a mere end of the process they do not: the kernel still has all writes. A file beside them says which of the two
//! it was, by the kernel's boot id. Knows nothing of sled but that it keeps its files in one directory.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::ViewError;
use crate::storage::Lock;

/// How many damaged views are kept for inspection.
const ASIDE_MAX: u32 = 3;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub struct Place {
    dir: PathBuf,
    boot: Option<String>,
    failed: AtomicBool,
    _lock: Lock,
}

/// Why views are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// Nothing is wrong with them, they are just not to be relied on.
    PowerCut,
    /// Worth a look.
    Damage(String),
}

impl Place {
    /// Take the directory, which need not exist. `boot` names the machine's current run.
    pub fn open(dir: &Path, boot: Option<String>) -> Result<Self, ViewError> {
        let mut lock_path = dir.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(ViewError::io("creating", parent))?;
        }
        let lock = Lock::take(&lock_path).map_err(ViewError::io("locking", &lock_path))?;
        let lock = lock.ok_or_else(|| ViewError::Locked { dir: dir.to_owned() })?;
        Ok(Self { dir: dir.to_owned(), boot, failed: AtomicBool::new(false), _lock: lock })
    }

    /// The id of the machine's current run, where the kernel tells it.
    pub fn boot() -> Option<String> {
        fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned())
    }

    pub fn files(&self) -> PathBuf {
        self.dir.join("sled")
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Whether what is here may be used; also where nothing is.
    pub fn judge(&self) -> Result<(), Distrust> {
        if fs::symlink_metadata(&self.dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        let state = fs::read_to_string(self.state()).map_err(|error| Distrust::Damage(format!("no state: {error}")))?;
        match (state.trim().split_once(' '), state.trim()) {
            (None, "closed") => Ok(()),
            (Some(("open", boot)), _) if Some(boot) == self.boot.as_deref() => Ok(()),
            (Some(("open", _)), _) => Err(Distrust::PowerCut),
            (_, other) => Err(Distrust::Damage(format!("the state is {other:?}"))),
        }
    }

    /// Say durably that the files are about to change.
    pub fn mark_open(&self) -> Result<(), ViewError> {
        fs::create_dir_all(&self.dir).map_err(ViewError::io("creating", &self.dir))?;
        let boot = self.boot.as_deref().unwrap_or("unknown boot");
        self.mark(&format!("open {boot}\n")).map_err(ViewError::io("writing the state of", &self.dir))
    }

    /// Say that the files are not to be used again, by whoever opens them next.
    pub fn mark_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
        if let Err(error) = self.mark("failed\n") {
            tracing::warn!(dir = %self.dir.display(), %error, "the views cannot be marked as failed");
        }
    }

    /// Make the files durable, then say that they are. Does nothing once they were marked as failed.
    pub fn close(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        sync_tree(&self.files())?;
        self.mark("closed\n")
    }

    fn mark(&self, state: &str) -> io::Result<()> {
        let mut file = File::create(self.state())?;
        file.write_all(state.as_bytes())?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()
    }

    /// Get the views out of the way: moved aside where they are worth a look, as long as there are not many such already.
    pub fn clear(&self, reason: &Distrust) -> Result<(), ViewError> {
        let aside = (1..=ASIDE_MAX).map(|number| {
            let mut name = self.dir.as_os_str().to_owned();
            name.push(format!(".damaged-{number}"));
            PathBuf::from(name)
        });
        match aside.filter(|_| *reason != Distrust::PowerCut).find(|path| fs::symlink_metadata(path).is_err()) {
            Some(aside) => {
                fs::rename(&self.dir, &aside).map_err(ViewError::io("moving aside", &self.dir))?;
                tracing::warn!(dir = %self.dir.display(), aside = %aside.display(), ?reason, "the views are made anew from the log");
            }
            None => {
                remove(&self.dir).map_err(ViewError::io("removing", &self.dir))?;
                tracing::warn!(dir = %self.dir.display(), ?reason, "the views are made anew from the log");
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Make a directory and all in it durable.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_believed_after_a_clean_end_and_after_a_kill() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("views");
        let place = |boot: &str| Place::open(&path, Some(boot.into())).expect("a place");
        place("a").judge().expect("nothing is fine");
        fs::create_dir_all(path.join("sled/blobs")).expect("created");
        place("a").mark_open().expect("marked");
        place("a").judge().expect("killed");
        assert_eq!(place("b").judge(), Err(Distrust::PowerCut));
        place("b").close().expect("closed");
        place("c").judge().expect("closed");
        place("c").mark_failed();
        assert!(matches!(place("c").judge(), Err(Distrust::Damage(_))));
    }

    #[test]
    fn only_a_few_damaged_views_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("views");
        let place = Place::open(&path, None).expect("a place");
        assert!(matches!(Place::open(&path, None), Err(ViewError::Locked { .. })));
        for _ in 0..5 {
            fs::write(&path, "a file, of all things").expect("written");
            place.clear(&Distrust::Damage("a test".into())).expect("cleared");
        }
        assert!(path.with_file_name("views.damaged-3").exists());
        assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 1 + 3);
    }
}
