//! The growing end of the last segment: finds room for a batch, writes it, and undoes a write that did not fit.
//!
//! Every function that returns [`LogError::Full`] leaves the disk unchanged. After any other error its state is unknown.

use std::{io, sync::Arc};

use weirgate_types::Position;

use crate::{
    Identity, LogError, LogOptions, Storage, StorageFile,
    error::is_full,
    format::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    recovery::Recovered,
};

/// A batch of at least this fraction of the reservation does not reserve: it would be written twice, and would soon need
/// more.
const LARGE_SHARE: u64 = 8;

pub struct Tail {
    name: String,
    file: Arc<dyn StorageFile>,
    /// The offset of the next batch.
    at: u64,
    /// The file's size: up to here it is zero-filled and allocated.
    reserved: u64,
    segment_bytes_max: u64,
    reserve_bytes: u64,
}

impl Tail {
    /// Continues at the end of a recovered log.
    pub fn resume(recovered: &Recovered, options: &LogOptions) -> Self {
        let name = recovered.segments.last().map_or_else(String::new, |segment| segment.name.clone());
        Self::new(name, Arc::clone(&recovered.file), recovered.end, recovered.size, options)
    }

    fn new(name: String, file: Arc<dyn StorageFile>, at: u64, reserved: u64, options: &LogOptions) -> Self {
        let (segment_bytes_max, reserve_bytes) = (options.segment_bytes_max, options.reserve_bytes);
        Self { name, file, at, reserved, segment_bytes_max, reserve_bytes }
    }

    /// Creates a segment: durable, and empty.
    pub fn create(
        storage: &dyn Storage,
        identity: Identity,
        first: Position,
        options: &LogOptions,
    ) -> Result<Self, LogError> {
        let name = segment_name(first);
        let created = storage.create(&name).and_then(|file| {
            file.write_at(&SegmentHeader { identity, first }.encode(), 0)?;
            Ok(file)
        });
        let file = match created {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(uncreate(storage, &name, error)),
            Err(error) => return Err(LogError::io("creating", &name)(error)),
        };
        file.sync_data().map_err(LogError::io("syncing", &name))?;
        storage.sync_dir().map_err(LogError::io("syncing the folder of", &name))?;
        let at = SEGMENT_HEADER_BYTES as u64;
        Ok(Self::new(name, file, at, at, options))
    }

    pub fn file(&self) -> &dyn StorageFile {
        &*self.file
    }

    /// Whether a batch of this size belongs here, not into a new segment. The first one always does.
    pub fn takes(&self, bytes: u64) -> bool {
        self.at == SEGMENT_HEADER_BYTES as u64 || self.at + bytes <= self.segment_bytes_max
    }

    /// Frees the unused reserved space. Needs no sync: zeros at the end have no meaning.
    pub fn give_back(&mut self) -> Result<(), LogError> {
        if self.reserved > self.at {
            self.file.truncate(self.at).map_err(LogError::io("truncating", &self.name))?;
            self.reserved = self.at;
        }
        Ok(())
    }

    /// Reserves space for a batch of this size, and more if there is enough.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), LogError> {
        let needed = self.at + bytes;
        if needed <= self.reserved || bytes >= self.reserve_bytes / LARGE_SHARE {
            return Ok(());
        }
        let wanted = self.reserved.saturating_add(self.reserve_bytes).min(self.segment_bytes_max).max(needed);
        match self.extend(wanted) {
            Err(LogError::Full(_)) if wanted > needed => self.extend(needed),
            result => result,
        }
    }

    fn extend(&mut self, to: u64) -> Result<(), LogError> {
        match self.file.reserve(self.reserved, to) {
            Ok(()) => self.reserved = to,
            Err(error) if is_full(&error) => return Err(self.cut(self.reserved, error)),
            Err(error) => return Err(LogError::io("reserving space in", &self.name)(error)),
        }
        Ok(())
    }

    /// Writes a batch and makes it durable. Returns where it begins.
    pub fn append(&mut self, batch: &[u8]) -> Result<u64, LogError> {
        if let Err(error) = self.file.write_at(batch, self.at) {
            let full = is_full(&error);
            return Err(if full { self.cut(self.at, error) } else { LogError::io("writing", &self.name)(error) });
        }
        self.file.sync_data().map_err(LogError::io("syncing", &self.name))?;
        let start = self.at;
        self.at += batch.len() as u64;
        self.reserved = self.reserved.max(self.at);
        Ok(start)
    }

    /// Undoes a write for which the disk had no space.
    fn cut(&mut self, size: u64, full: io::Error) -> LogError {
        match self.file.truncate(size).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.reserved = size;
                LogError::Full(full)
            }
            Err(error) => LogError::io("truncating", &self.name)(error),
        }
    }
}

/// Undoes the creation of a segment for which the disk had no space. There may be nothing to undo.
fn uncreate(storage: &dyn Storage, name: &str, full: io::Error) -> LogError {
    match storage.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return LogError::io("removing", name)(error),
        _ => {}
    }
    match storage.sync_dir() {
        Ok(()) => LogError::Full(full),
        Err(error) => LogError::io("syncing the folder of", name)(error),
    }
}
