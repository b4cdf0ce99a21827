//! An in-memory disk that fails at a chosen operation, fills up, and loses power.
//!
//! It keeps durable bytes apart from written ones: a crash yields a disk with the durable bytes and a chosen part of the
//! others. Simple rather than fast.

mod image;

use std::{io, sync::Arc};

use parking_lot::Mutex;
use rustix::io::Errno;
use weirgate_log::{Storage, StorageFile};

use self::image::{Change, Image, Inode, keep, throw};

/// How many of the newest notes may survive a power cut.
const NOTES: usize = 4;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It reports an I/O error and does nothing.
    Io,
    /// It reports a full disk and does nothing.
    Full,
    /// It reports that no file descriptor is free and does nothing.
    Descriptors,
    /// A write or a reservation does half of its work, then reports a full disk. Other operations: as `Io`.
    Short,
}

/// Which unsynced bytes survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The first ones, in the order of writing. A change of size or name counts as one byte.
    Keep(u64),
    /// Each 512-byte sector, size and name at random.
    Sectors { seed: u64 },
}

#[derive(Default)]
struct Disk {
    now: Image,
    durable: Image,
    /// From `durable` to `now`, in order.
    unsynced: Vec<Change>,
    inode_last: Inode,
    operations: u64,
    fault: Option<(u64, Fault)>,
    /// How many of the next files that are created or opened find no descriptor.
    descriptors_lacking: u64,
    /// What happens while the next sync stalls.
    stall: Option<Box<dyn FnOnce() + Send>>,
    bytes_max: Option<u64>,
    /// The last few notes, the newest last.
    notes: Vec<Vec<u8>>,
}

/// A disk in memory; clones are the same disk.
#[derive(Default, Clone)]
pub struct SimStorage(Arc<Mutex<Disk>>);

struct SimFile {
    disk: SimStorage,
    inode: Inode,
}

impl SimStorage {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Makes operation number `operation` (the first is 1) fail.
    pub fn fail(&self, operation: u64, fault: Fault) {
        self.0.lock().fault = Some((operation, fault));
    }

    /// Let the next `files` that are created or opened find no free descriptor. Files that are open are not affected.
    pub fn lack_descriptors(&self, files: u64) {
        self.0.lock().descriptors_lacking = files;
    }

    /// Let the next sync stall; `meanwhile` is what happens until it goes on.
    pub fn stall(&self, meanwhile: impl FnOnce() + Send + 'static) {
        self.0.lock().stall = Some(Box::new(meanwhile));
    }

    /// Limits the total bytes of all files; `None` for no limit.
    pub fn set_bytes_max(&self, bytes_max: Option<u64>) {
        self.0.lock().bytes_max = bytes_max;
    }

    /// Total bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.lock().now.bytes()
    }

    /// The file's bytes, as a reader would see them now.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.0.lock();
        disk.now.files.get(disk.now.names.get(name)?).cloned()
    }

    /// Sets a file's bytes, durably, without an operation of the log.
    pub fn overwrite(&self, name: &str, bytes: Vec<u8>) {
        let mut disk = self.0.lock();
        let inode = disk.now.names.get(name).copied().unwrap_or(disk.inode_last + 1);
        disk.inode_last = disk.inode_last.max(inode);
        for change in [Change::Link { name: name.to_owned(), inode }, Change::Resize { inode, size: 0 }] {
            disk.now.apply(&change);
            disk.durable.apply(&change);
        }
        let change = Change::Write { inode, offset: 0, bytes };
        disk.now.apply(&change);
        disk.durable.apply(&change);
    }

    /// Number of bytes that are written but not durable, as [`Crash::Keep`] counts.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        self.0.lock().unsynced.iter().map(Change::cost).sum()
    }

    /// A disk as it could be found after a power cut at this moment. This one is unchanged.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        let disk = self.0.lock();
        let mut image = disk.durable.clone();
        match crash {
            Crash::Keep(bytes) => keep(&mut image, &disk.unsynced, bytes),
            Crash::Sectors { seed } => throw(&mut image, &disk.unsynced, seed),
        }
        let (inode_last, notes) = (disk.inode_last, disk.notes_left(crash));
        Self(Arc::new(Mutex::new(Disk { now: image.clone(), durable: image, inode_last, notes, ..Disk::default() })))
    }

    /// Counts an operation; returns `Err` if it is the one to fail.
    fn operation(&self) -> Result<(), Fault> {
        let mut disk = self.0.lock();
        disk.operations += 1;
        match disk.fault {
            Some((at, fault)) if at == disk.operations => Err(fault),
            _ => Ok(()),
        }
    }

    fn step(&self) -> io::Result<()> {
        self.operation().map_err(Fault::error)
    }

    fn descriptor(&self) -> io::Result<()> {
        let lacking = &mut self.0.lock().descriptors_lacking;
        match lacking.checked_sub(1) {
            Some(left) => {
                *lacking = left;
                Err(Fault::Descriptors.error())
            }
            None => Ok(()),
        }
    }

    fn change(&self, change: Change) {
        let mut disk = self.0.lock();
        disk.now.apply(&change);
        disk.unsynced.push(change);
    }

    /// Writes what the fault and the free space allow.
    fn write(&self, inode: Inode, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = self.operation().err();
        let wanted = bytes.len() as u64;
        let fits = {
            let disk = self.0.lock();
            let size = disk.now.size(inode);
            let free = disk.bytes_max.map_or(u64::MAX, |max| max.saturating_sub(disk.now.bytes()));
            wanted.min(size.saturating_sub(offset).saturating_add(free))
        };
        let done = match fault {
            Some(Fault::Io | Fault::Full | Fault::Descriptors) => 0,
            Some(Fault::Short) => fits.min(wanted / 2),
            None => fits,
        };
        let written: Vec<u8> = bytes.iter().copied().take(usize::try_from(done).unwrap_or(usize::MAX)).collect();
        if !written.is_empty() {
            self.change(Change::Write { inode, offset, bytes: written });
        }
        match fault {
            Some(Fault::Io) => Err(Fault::Io.error()),
            None if done == wanted => Ok(()),
            _ => Err(Fault::Full.error()),
        }
    }
}

impl Disk {
    /// Notes are never synced: the newest one survives, or an older one, or none.
    fn notes_left(&self, crash: Crash) -> Vec<Vec<u8>> {
        let throw = match crash {
            Crash::Keep(u64::MAX) => return self.notes.clone(),
            Crash::Keep(bytes) => bytes,
            Crash::Sectors { seed } => seed,
        };
        let left = throw % (self.notes.len() as u64 + 1);
        self.notes.iter().take(usize::try_from(left).unwrap_or(0)).cloned().collect()
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::Descriptors => Errno::MFILE.into(),
            Self::Io | Self::Short => io::Error::other("a fault of the simulated disk"),
        }
    }
}

impl Storage for SimStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        self.step()?;
        Ok(self.0.lock().now.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.step()?;
        self.descriptor()?;
        let inode = {
            let mut disk = self.0.lock();
            if disk.now.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.inode_last += 1;
            disk.inode_last
        };
        self.change(Change::Link { name: name.to_owned(), inode });
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.step()?;
        self.descriptor()?;
        let inode = self.0.lock().now.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.change(Change::Unlink { name: name.to_owned() });
        Ok(())
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    /// Not an operation that fails: its callers work without it.
    fn note(&self, bytes: &[u8]) -> io::Result<()> {
        let notes = &mut self.0.lock().notes;
        if notes.len() == NOTES {
            notes.remove(0);
        }
        notes.push(bytes.to_vec());
        Ok(())
    }

    fn noted(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().notes.last().cloned().unwrap_or_default())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.step()?;
        let disk = &mut *self.0.lock();
        let (names, others) =
            std::mem::take(&mut disk.unsynced).into_iter().partition::<Vec<_>, _>(Change::is_of_names);
        for change in &names {
            disk.durable.apply(change);
        }
        disk.unsynced = others;
        Ok(())
    }
}

impl StorageFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        self.disk.step()?;
        Ok(self.disk.0.lock().now.size(self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.step()?;
        let disk = self.disk.0.lock();
        let file = disk.now.files.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = file.get(start..start.saturating_add(buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write(self.inode, offset, bytes)
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        let bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
        self.disk.write(self.inode, from, &bytes)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.step()?;
        self.disk.change(Change::Resize { inode: self.inode, size });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let stall = self.disk.0.lock().stall.take();
        if let Some(meanwhile) = stall {
            meanwhile();
        }
        self.disk.step()?;
        let disk = &mut *self.disk.0.lock();
        let (mine, others) =
            std::mem::take(&mut disk.unsynced).into_iter().partition::<Vec<_>, _>(|change| change.is_of(self.inode));
        for change in &mine {
            disk.durable.apply(change);
        }
        disk.unsynced = others;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_synced_bytes_are_sure_to_survive() {
        let disk = SimStorage::new();
        let file = disk.create("a").expect("a file");
        file.write_at(b"durable", 0).expect("a write");
        file.sync_data().expect("a sync");
        disk.sync_dir().expect("a sync");
        file.write_at(b" or not", 7).expect("a write");
        assert_eq!(disk.unsynced_bytes(), 7);
        assert_eq!(disk.crash(Crash::Keep(0)).contents("a"), Some(b"durable".to_vec()));
        assert_eq!(disk.crash(Crash::Keep(3)).contents("a"), Some(b"durable or".to_vec()));
        let images: Vec<_> = (0..16).map(|seed| disk.crash(Crash::Sectors { seed }).contents("a")).collect();
        assert!(images.contains(&Some(b"durable".to_vec())) && images.contains(&Some(b"durable or not".to_vec())));
    }

    #[test]
    fn a_name_needs_the_directory_synced() {
        let disk = SimStorage::new();
        disk.create("a").expect("a file").sync_data().expect("a sync");
        assert_eq!(disk.crash(Crash::Keep(0)).contents("a"), None);
        assert_eq!(disk.crash(Crash::Keep(1)).contents("a"), Some(Vec::new()));
    }

    #[test]
    fn the_disk_fails_on_demand_and_when_full() {
        let disk = SimStorage::new();
        let file = disk.create("a").expect("a file");
        disk.fail(2, Fault::Short);
        assert!(file.write_at(b"1234", 0).is_err());
        assert_eq!(disk.contents("a"), Some(b"12".to_vec()));
        disk.set_bytes_max(Some(3));
        let error = file.write_at(b"1234", 0).expect_err("a full disk");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.contents("a"), Some(b"123".to_vec()));
        disk.set_bytes_max(None);
        file.write_at(b"1234", 0).expect("space again");
    }
}
