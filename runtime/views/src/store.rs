//! The seam to what holds the entries once they are flushed: sled, a map in memory, or another store that is measured against them.
//! Knows nothing of how entries are stored.

use std::{
    borrow::Cow,
    ops::Bound::{self, Excluded, Included},
};

use weirgate_types::Position;

use crate::{
    about::{About, Origin},
    change::ViewEntry,
    error::ViewError,
};

/// Sorted keys with their values. One thread commits; others read meanwhile, and may see a part of what is being committed.
pub trait Store: Send + Sync {
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError>;

    /// The entries of a range, sorted by key.
    fn range<'a>(&'a self, range: Range<'a>) -> Entries<'a>;

    /// What committing a batch will write. No other batch may be committed in between.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    fn prepare<'a>(&self, batch: Batch<'a>) -> Result<Prepared<'a>, ViewError>;

    /// Write all of a batch or nothing of it, durably.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`]: whether it was written shows when the store is opened next.
    fn commit(&self, prepared: &Prepared<'_>) -> Result<(), ViewError>;
}

pub type Entries<'a> = Box<dyn Iterator<Item = Result<ViewEntry, ViewError>> + 'a>;

/// Entries whose keys begin with `prefix` and come after `after`.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    pub prefix: &'a [u8],
    pub after: Option<&'a [u8]>,
    /// Values are not wanted, and may come out empty.
    pub keys_only: bool,
}

impl<'a> Range<'a> {
    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> Bound<&'a [u8]> {
        match self.after {
            Some(after) if after >= self.prefix => Excluded(after),
            _ => Included(self.prefix),
        }
    }

    /// What it gives of a value.
    #[must_use]
    pub fn value(&self, value: &[u8]) -> Vec<u8> {
        if self.keys_only { Vec::new() } else { value.to_vec() }
    }
}

/// A changed key and its value, `None` if it is removed.
pub type Row<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

/// Changes of entries that are committed together.
#[derive(Debug)]
pub struct Batch<'a> {
    pub origin: Origin,
    /// What was committed before it.
    pub base: Position,
    pub applied: Position,
    /// Sorted by key, each key once.
    pub changes: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// What is to be committed: rows of the store, which may be packed pages.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub base: Position,
    pub about: About,
    pub rows: Vec<Row<'a>>,
}

impl<'a> Prepared<'a> {
    /// A batch as it is, for a store that keeps each entry as a row and no sum of them.
    #[must_use]
    pub fn plain(batch: Batch<'a>) -> Self {
        let about = About { origin: batch.origin, applied: batch.applied, sum: 0 };
        let changes = batch.changes.into_iter();
        let rows = changes.map(|(key, value)| (Cow::Borrowed(key), value.map(Cow::Borrowed))).collect();
        Self { base: batch.base, about, rows }
    }

    /// How large the rows are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum()
    }

    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().map(|(key, value)| (key.as_ref(), value.as_deref()))
    }
}
