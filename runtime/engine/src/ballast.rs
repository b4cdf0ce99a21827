//! The ballast: a file that reserves disk space and releases it when the disk is full, so that staged records can be written
//! and operators can still pause the handlers that fill the disk.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// The ballast is created only if this multiple of its size is free beyond the reserve.
const FREE_TIMES_MIN: u64 = 4;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Ballast {
    /// `None` in simulations.
    file: Option<PathBuf>,
    bytes: u64,
    /// Bytes that have to stay free besides.
    disk_free_bytes_min: u64,
    is_held: bool,
}

impl Ballast {
    /// A ballast of `bytes` in `file`; none if `bytes` is 0.
    #[must_use]
    pub fn new(file: PathBuf, bytes: u64, disk_free_bytes_min: u64) -> Self {
        let is_held = fs::metadata(&file).is_ok_and(|found| found.len() == bytes);
        Self { file: (bytes > 0).then_some(file), bytes, disk_free_bytes_min, is_held }
    }

    /// Reserves the space, if it is not reserved yet and enough is free.
    pub fn take(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| !self.is_held) else { return };
        if !self.is_much_free() {
            return;
        }
        match hold(file, self.bytes) {
            Ok(()) => self.is_held = true,
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "the reserve cannot be allocated");
                drop(fs::remove_file(file));
            }
        }
    }

    /// Releases the space if less than as much is free: opening the log and its views writes, too.
    pub fn make_room(&mut self) {
        if self.free_bytes().is_some_and(|free| free < self.bytes) {
            self.release();
        }
    }

    /// Releases the space. Returns whether any was reserved.
    pub fn release(&mut self) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| std::mem::take(&mut self.is_held)) else { return false };
        tracing::warn!(bytes = self.bytes, "the disk is full: the reserve is released");
        fs::remove_file(file).is_ok()
    }

    fn is_much_free(&self) -> bool {
        let needed = self.bytes.saturating_mul(FREE_TIMES_MIN).saturating_add(self.disk_free_bytes_min);
        self.free_bytes().is_some_and(|free| free >= needed)
    }

    fn free_bytes(&self) -> Option<u64> {
        let dir = self.file.as_ref().and_then(|file| file.parent());
        dir.and_then(|dir| statvfs(dir).ok()).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

fn hold(file: &PathBuf, bytes: u64) -> io::Result<()> {
    let file = File::create(file)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ballast_is_released_once_and_reserved_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ballast");
        let mut ballast = Ballast::new(file.clone(), 1 << 20, 0);
        ballast.take();
        assert_eq!(fs::metadata(&file).expect("it is there").len(), 1 << 20);
        assert!(ballast.release() && !file.exists() && !ballast.release());
        ballast.take();
        let mut after_restart = Ballast::new(file.clone(), 1 << 20, 0);
        assert!(after_restart.release() && !file.exists());
    }

    #[test]
    fn room_is_made_where_less_than_the_ballast_is_free() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ballast");
        let mut ballast = Ballast::new(file.clone(), 1 << 20, 0);
        ballast.take();
        ballast.make_room();
        assert!(file.exists(), "there is room");
        // More than any disk has.
        ballast.bytes = u64::MAX;
        ballast.make_room();
        assert!(!file.exists() && !ballast.is_held);
    }

    #[test]
    fn no_ballast_is_reserved_when_little_space_is_free() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ballast");
        for (bytes, disk_free_bytes_min) in [(0, 0), (1 << 20, u64::MAX)] {
            let mut ballast = Ballast::new(file.clone(), bytes, disk_free_bytes_min);
            ballast.take();
            assert!(!file.exists() && !ballast.release());
        }
    }
}
