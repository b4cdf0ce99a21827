//! The list of segments, shared by the writer and all readers: which segment holds a position, open files for reading, and
//! the durable head.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use weirgate_types::Position;

use crate::{
    LogError, Storage, StorageFile,
    error::is_out_of_descriptors,
    format::Checks,
    seal,
    segment::{Sealed, Segment},
    walk::WalkFault,
};

/// Maximum number of segments kept open for reading.
const FILES_MAX: usize = 64;

pub struct Catalog {
    storage: Arc<dyn Storage>,
    pub checks: Checks,
    /// The last durable position. Stored after the segment is updated, so a reader that sees it finds the record.
    head: AtomicU64,
    /// Sorted by first position; only the last one grows.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// Most recently used last.
    files: Mutex<VecDeque<(Position, Arc<dyn StorageFile>)>>,
    /// Whether a damaged segment loses its seal.
    unseals: bool,
}

impl Catalog {
    pub fn new(storage: Arc<dyn Storage>, checks: Checks, segments: Vec<Arc<Segment>>, head: Position) -> Self {
        let (segments, files) = (RwLock::new(segments), Mutex::default());
        Self { storage, checks, head: head.0.into(), segments, files, unseals: true }
    }

    /// The same for readers that change nothing.
    pub fn read_only(self) -> Self {
        Self { unseals: false, ..self }
    }

    /// A fault as an error. A segment that is damaged loses its seal: so the next opening reads all of it, and refuses it if it is
    /// still damaged then.
    pub fn fault(&self, segment: &Segment, fault: WalkFault) -> LogError {
        if matches!(fault, WalkFault::Damage { .. }) {
            self.unseal(segment);
        }
        fault.into_error(&segment.name)
    }

    pub fn unseal(&self, segment: &Segment) {
        if !self.unseals || !segment.is_sealed() {
            return;
        }
        match seal::unseal(&*self.storage, segment.first) {
            Ok(()) => segment.set_sealed(false),
            Err(error) => {
                tracing::warn!(segment = segment.name, %error, "the seal of a damaged segment cannot be removed");
            }
        }
    }

    pub fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    pub fn set_head(&self, head: Position) {
        self.head.store(head.0, Ordering::Release);
    }

    pub fn add(&self, segment: Arc<Segment>) {
        self.segments.write().push(segment);
    }

    /// The segment that holds `position`, if there is one.
    pub fn segment_of(&self, position: Position) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.first <= position);
        segments.get(after.checked_sub(1)?).cloned()
    }

    /// All segments but the last, which grows.
    pub fn sealed(&self) -> Vec<Sealed> {
        let segments = self.segments.read();
        let pairs = segments.iter().zip(segments.iter().skip(1));
        pairs.map(|(one, next)| Sealed { first: one.first, last: next.first.before(), end: one.end() }).collect()
    }

    /// The segment that follows the one which begins at `first`.
    pub fn segment_after(&self, first: Position) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        segments.get(segments.partition_point(|segment| segment.first <= first)).cloned()
    }

    /// The segment's file: an open one, or opened now. Without a free file descriptor all open ones are closed first.
    pub fn file(&self, segment: &Segment) -> Result<Arc<dyn StorageFile>, LogError> {
        let mut files = self.files.lock();
        if let Some(at) = files.iter().position(|(first, _)| *first == segment.first)
            && let Some(entry) = files.remove(at)
        {
            let file = Arc::clone(&entry.1);
            files.push_back(entry);
            return Ok(file);
        }
        let opened = match self.storage.open(&segment.name) {
            Err(error) if is_out_of_descriptors(&error) => {
                files.clear();
                self.storage.open(&segment.name)
            }
            opened => opened,
        };
        let file = opened.map_err(LogError::io("opening", &segment.name))?;
        if files.len() >= FILES_MAX {
            files.pop_front();
        }
        files.push_back((segment.first, Arc::clone(&file)));
        Ok(file)
    }
}
