//! A directory of a real file system, held by one process at a time.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{Lock, Storage, StorageFile, spare::Spare};
use crate::LogError;

const LOCK_NAME: &str = "lock";
const NOTE_NAME: &str = "head";
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A directory, locked against other processes while this value lives.
#[derive(Debug)]
pub struct DirStorage {
    dir: PathBuf,
    /// For `fsync`.
    handle: File,
    /// Opened at the first write.
    note: OnceLock<File>,
    spare: Spare,
    _lock: Lock,
}

impl DirStorage {
    /// Locks the directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it; [`LogError::Io`].
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let name = dir.display().to_string();
        fs::create_dir_all(dir).map_err(LogError::io("creating", &name))?;
        if let Some(parent) = dir.canonicalize().map_err(LogError::io("finding", &name))?.parent() {
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(LogError::io("syncing the folder of", &name))?;
        }
        let lock = Lock::take(&dir.join(LOCK_NAME)).map_err(LogError::io("locking", &name))?;
        let lock = lock.ok_or_else(|| LogError::Locked { dir: dir.to_owned() })?;
        let handle = File::open(dir).map_err(LogError::io("opening", &name))?;
        Ok(Self { dir: dir.to_owned(), handle, note: OnceLock::new(), spare: Spare::take(), _lock: lock })
    }
}

impl Storage for DirStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        // A name that is not UTF-8 is not one of the log's.
        names.filter_map(Result::transpose).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.dir.join(name);
        let create = || OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        Ok(Arc::new(self.spare.open(create)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.dir.join(name);
        Ok(Arc::new(self.spare.open(|| OpenOptions::new().read(true).write(true).open(&path))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn note(&self, bytes: &[u8]) -> io::Result<()> {
        let file = match self.note.get() {
            Some(file) => file,
            None => {
                let path = self.dir.join(NOTE_NAME);
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
                self.note.get_or_init(|| file)
            }
        };
        file.write_all_at(bytes, 0)
    }

    fn noted(&self) -> io::Result<Vec<u8>> {
        match fs::read(self.dir.join(NOTE_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

impl StorageFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        // Space first: it fails before anything is written. Then zeros, because `fallocate` alone leaves extents that the
        // file system must mark as written at the first sync, which costs the journal write that this avoids.
        take_space(|| fallocate(self, FallocateFlags::empty(), from, to.saturating_sub(from)))?;
        let mut at = from;
        while at < to {
            let count = usize::try_from(to - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.write_all_at(ZEROS.get(..count).unwrap_or(&ZEROS), at)?;
            at += count as u64;
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// Without `fallocate`, writing the zeros reserves the space. A signal does not end it.
fn take_space(mut take: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match take() {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_taken_in_spite_of_signals_and_old_kernels() {
        let answers = |answers: &[rustix::io::Result<()>]| {
            let mut answers = answers.iter().copied();
            let taken = take_space(|| answers.next().expect("not asked again")).map_err(|error| error.kind());
            (taken, answers.len())
        };
        assert_eq!(answers(&[Err(Errno::INTR), Err(Errno::INTR), Ok(())]), (Ok(()), 0));
        assert_eq!(answers(&[Err(Errno::NOSYS), Ok(())]), (Ok(()), 1));
        assert_eq!(answers(&[Err(Errno::OPNOTSUPP), Ok(())]), (Ok(()), 1));
        assert_eq!(answers(&[Err(Errno::NOSPC), Ok(())]), (Err(io::ErrorKind::StorageFull), 1));
    }

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b");
        let first = DirStorage::open(&path).expect("the first owner");
        let error = DirStorage::open(&path).expect_err("a second owner");
        assert!(matches!(&error, LogError::Locked { dir } if *dir == path), "{error}");
        drop(first);
        DirStorage::open(&path).expect("the next owner");
    }

    #[test]
    fn a_note_is_the_newest_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = DirStorage::open(dir.path()).expect("a storage");
        assert_eq!(storage.noted().expect("no error"), b"");
        for note in [b"one", b"two"] {
            storage.note(note).expect("noted");
            assert_eq!(storage.noted().expect("no error"), note);
        }
    }

    #[test]
    fn reserved_space_reads_as_zeros() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = DirStorage::open(dir.path()).expect("a storage");
        let file = storage.create("x").expect("a file");
        file.write_at(b"abc", 0).expect("a write");
        file.reserve(3, 200_003).expect("space");
        assert_eq!(file.size().expect("a size"), 200_003);
        let mut bytes = vec![1; 200_003];
        file.read_at(&mut bytes, 0).expect("a read");
        assert!(bytes.starts_with(b"abc") && bytes[3..].iter().all(|byte| *byte == 0));
        assert!(file.read_at(&mut bytes, 1).is_err(), "a read beyond the end");
        file.truncate(2).expect("a cut");
        assert_eq!(file.size().expect("a size"), 2);
        assert!(storage.list().expect("names").contains(&"x".to_owned()));
    }
}
