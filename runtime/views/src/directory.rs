//! The views' directory, and its state: whether to believe what is found there.
//!
//! After a power cut sled's files may hold a mixture of old and new blocks that looks sound, so they have to be verified.
//! After a mere end of the process they need not: the kernel still has all writes. A state file beside them tells the two
//! cases apart by the kernel's boot id. Knows of sled only that it keeps its files in one directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{error::ViewError, lock::Lock};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub struct Directory {
    dir: PathBuf,
    boot: Option<String>,
    failed: AtomicBool,
    _lock: Lock,
}

/// Whether the contents can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nothing is there yet.
    Nothing,
    Sound,
    /// The power failed while they were open: they have to be verified.
    Unsure,
}

/// Why views are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// A power cut left a mixture of old and new.
    PowerCut,
    /// The process ended while it created them.
    Unfinished,
    /// They failed for lack of space. Keeping them would free none.
    Full,
    /// Worth a look.
    Damage(String),
}

impl Directory {
    /// Opens the directory, which need not exist. `boot` identifies the machine's current run.
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

    /// The id of the machine's current run, if the kernel provides it.
    pub fn boot() -> Option<String> {
        fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned())
    }

    pub fn files(&self) -> PathBuf {
        self.dir.join("sled")
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Whether there are usable views here; also empty if their creation had not begun.
    pub fn judge(&self) -> Result<Trust, Distrust> {
        if is_missing(&self.dir) {
            return Ok(Trust::Nothing);
        }
        let state = match fs::read_to_string(self.state()) {
            Ok(state) => state,
            // The directory comes first, then its state, then the files.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_missing(&self.files()) => {
                return Ok(Trust::Nothing);
            }
            Err(error) => return Err(Distrust::Damage(format!("no state: {error}"))),
        };
        let state = state.lines().next().unwrap_or_default();
        match (state.split_once(' '), state) {
            (None, "closed") => Ok(Trust::Sound),
            (None, "begun") => Err(Distrust::Unfinished),
            (None, "full") => Err(Distrust::Full),
            (Some(("open", boot)), _) if Some(boot) == self.boot.as_deref() => Ok(Trust::Sound),
            (Some(("open", _)), _) => Ok(Trust::Unsure),
            (_, other) => Err(Distrust::Damage(format!("the state is {other:?}"))),
        }
    }

    /// Marks durably that the files are being created.
    pub fn mark_begun(&self) -> Result<(), ViewError> {
        fs::create_dir_all(&self.dir).map_err(ViewError::io("creating", &self.dir))?;
        self.mark("begun\n").map_err(ViewError::io("writing the state of", &self.dir))
    }

    /// Marks durably that the files are about to change.
    pub fn mark_open(&self) -> Result<(), ViewError> {
        let boot = self.boot.as_deref().unwrap_or("unknown boot");
        self.mark(&format!("open {boot}\n")).map_err(ViewError::io("writing the state of", &self.dir))
    }

    /// Marks the files as unusable for later openings.
    pub fn mark_failed(&self, failure: &ViewError) {
        self.failed.store(true, Ordering::Relaxed);
        let state = if matches!(failure, ViewError::Full(_)) { "full\n" } else { "failed\n" };
        // In place it needs no space, and the file's contents are shorter than a sector.
        let marked = self.mark(state).or_else(|_| {
            let file = OpenOptions::new().write(true).open(self.state())?;
            file.write_all_at(state.as_bytes(), 0)?;
            file.sync_all()
        });
        if let Err(error) = marked {
            tracing::warn!(dir = %self.dir.display(), %error, "the views cannot be marked as failed");
        }
    }

    /// Makes the files durable, then marks them as whole. Does nothing once they were marked as failed.
    pub fn close(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        sync_tree(&self.files())?;
        self.mark("closed\n")
    }

    /// The old state remains until the new one is complete.
    fn mark(&self, state: &str) -> io::Result<()> {
        let new = self.dir.join("state.new");
        let mut file = File::create(&new)?;
        file.write_all(state.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, self.state())?;
        File::open(&self.dir)?.sync_all()
    }

    /// Removes the views: moves them aside if they are worth inspecting and no others are kept already.
    pub fn clear(&self, reason: &Distrust) -> Result<(), ViewError> {
        let mut aside = self.dir.as_os_str().to_owned();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        if matches!(reason, Distrust::Damage(_)) && is_missing(&aside) {
            fs::rename(&self.dir, &aside).map_err(ViewError::io("moving aside", &self.dir))?;
            tracing::warn!(dir = %self.dir.display(), aside = %aside.display(), ?reason, "rebuilding the views from the log");
            return Ok(());
        }
        self.remove().map_err(ViewError::io("removing", &self.dir))?;
        if *reason == Distrust::Unfinished {
            tracing::info!(dir = %self.dir.display(), "unfinished views are removed and created again");
        } else {
            tracing::warn!(dir = %self.dir.display(), ?reason, "rebuilding the views from the log");
        }
        Ok(())
    }

    /// The state is removed last: an interrupted removal is repeated at the next start.
    fn remove(&self) -> io::Result<()> {
        if !fs::symlink_metadata(&self.dir)?.is_dir() {
            return fs::remove_file(&self.dir);
        }
        if !is_missing(&self.files()) {
            fs::remove_dir_all(self.files())?;
        }
        fs::remove_dir_all(&self.dir)
    }
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Makes a directory and all its contents durable.
pub fn sync_tree(dir: &Path) -> io::Result<()> {
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
    fn views_are_trusted_after_a_clean_end_and_after_a_kill() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("views");
        let directory = |boot: &str| Directory::open(&path, Some(boot.into())).expect("a directory");
        assert_eq!(directory("a").judge(), Ok(Trust::Nothing), "nothing is fine");
        directory("a").mark_begun().expect("marked");
        fs::create_dir_all(path.join("sled/blobs")).expect("created");
        directory("a").mark_open().expect("marked");
        assert_eq!(directory("a").judge(), Ok(Trust::Sound), "killed");
        assert_eq!(directory("b").judge(), Ok(Trust::Unsure), "the power went");
        directory("b").close().expect("closed");
        assert_eq!(directory("c").judge(), Ok(Trust::Sound), "closed");
        directory("c").mark_failed(&ViewError::Failed("a test".into()));
        assert!(matches!(directory("c").judge(), Err(Distrust::Damage(_))));
        directory("c").mark_failed(&ViewError::Full("a test".into()));
        assert_eq!(directory("c").judge(), Err(Distrust::Full));
    }

    #[test]
    fn a_kill_during_the_first_start_is_not_damage() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("views");
        let directory = Directory::open(&path, Some("a".into())).expect("a directory");
        fs::create_dir_all(&path).expect("created");
        assert_eq!(directory.judge(), Ok(Trust::Nothing), "before the state");
        fs::write(path.join("state.new"), "beg").expect("written");
        assert_eq!(directory.judge(), Ok(Trust::Nothing), "within the state");
        directory.mark_begun().expect("marked");
        fs::create_dir_all(path.join("sled")).expect("created");
        fs::write(path.join("sled/conf"), "half").expect("written");
        fs::write(path.join("state.new"), "").expect("written");
        assert_eq!(directory.judge(), Err(Distrust::Unfinished), "within the making");
        directory.clear(&Distrust::Unfinished).expect("cleared");
        assert_eq!(directory.judge(), Ok(Trust::Nothing));
        assert!(!path.with_file_name("views.damaged").exists());
    }

    #[test]
    fn a_failure_is_marked_where_no_file_can_be_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("views");
        let directory = Directory::open(&path, Some("a-boot-id".into())).expect("a directory");
        directory.mark_begun().expect("marked");
        directory.mark_open().expect("marked");
        fs::create_dir(path.join("state.new")).expect("something in the way");
        directory.mark_failed(&ViewError::Full("a test".into()));
        assert_eq!(directory.judge(), Err(Distrust::Full));
    }

    #[test]
    fn one_damaged_copy_is_kept_and_none_of_full_views() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("views");
        let directory = Directory::open(&path, None).expect("a directory");
        assert!(matches!(Directory::open(&path, None), Err(ViewError::Locked { .. })));
        for reason in [Distrust::Full, Distrust::PowerCut, Distrust::Unfinished] {
            fs::create_dir_all(path.join("sled")).expect("created");
            directory.clear(&reason).expect("cleared");
            assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 1, "{reason:?}: the lock is left");
        }
        for _ in 0..3 {
            fs::write(&path, "a file, of all things").expect("written");
            directory.clear(&Distrust::Damage("a test".into())).expect("cleared");
        }
        assert!(path.with_file_name("views.damaged").exists());
        assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 1 + 1);
    }
}
