//! The last page of a table: what it is of, and where its parts begin.

use weirgate_types::{Epoch, Position};

use super::{
    TableError,
    page::{self, PAGE_BYTES, Seed},
};

const MAGIC: &[u8; 8] = b"WEIRHIST";
/// Tables of another version are made again.
pub const VERSION: u32 = 3;
pub const FOOTER_BYTES: usize = 104;

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Postings and state writes of one segment.
    Index,
    /// The newest write of each state value since the log's beginning.
    Snapshot,
    /// The identities that were accepted in a part of the log.
    Identities,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Index => 1,
            Self::Snapshot => 2,
            Self::Identities => 3,
        }
    }
}

/// The part of a log that a table was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub kind: Kind,
    /// The log's first epoch.
    pub log: Epoch,
    /// The epoch in force at `last`.
    pub epoch: Epoch,
    pub first: Position,
    pub last: Position,
    /// Where the segment of `last` ends, in bytes; 0 for identities.
    pub segment_end: u64,
}

impl Origin {
    pub fn seed(&self) -> Seed {
        let identity = [
            self.log.0.as_slice(),
            &self.epoch.0,
            &self.kind.number().to_le_bytes(),
            &self.first.0.to_le_bytes(),
            &self.last.0.to_le_bytes(),
            &self.segment_end.to_le_bytes(),
        ];
        Seed::of(&identity.concat())
    }
}

/// Number of pages of each part, in their order, and of rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub data: u64,
    pub fences: u64,
    pub filter: u64,
    pub rows: u64,
}

impl Layout {
    /// The number of the footer's page.
    fn footer(&self) -> Option<u64> {
        self.data.checked_add(self.fences)?.checked_add(self.filter)
    }
}

/// The footer's page.
pub fn encode(origin: &Origin, layout: &Layout) -> [u8; PAGE_BYTES] {
    let bytes = [
        MAGIC.as_slice(),
        &VERSION.to_le_bytes(),
        &origin.kind.number().to_le_bytes(),
        &origin.log.0,
        &origin.epoch.0,
        &origin.first.0.to_le_bytes(),
        &origin.last.0.to_le_bytes(),
        &origin.segment_end.to_le_bytes(),
        &layout.data.to_le_bytes(),
        &layout.fences.to_le_bytes(),
        &layout.filter.to_le_bytes(),
        &layout.rows.to_le_bytes(),
    ];
    page::encode(origin.seed(), layout.footer().unwrap_or(u64::MAX), &bytes.concat())
}

/// The layout of a table of `pages` pages, which has to be of this origin.
///
/// # Errors
/// [`TableError::Damaged`]: it is not, or its version differs.
pub fn decode(origin: &Origin, pages: u64, bytes: &[u8; PAGE_BYTES]) -> Result<Layout, TableError> {
    let number = pages.checked_sub(1).ok_or(TableError::Damaged("there is no footer"))?;
    let payload = page::decode(origin.seed(), number, bytes)?;
    let damaged = || TableError::Damaged("the footer is not one of this table");
    let layout = layout(payload).ok_or_else(damaged)?;
    let expected = encode(origin, &layout);
    if layout.footer() == Some(number) && expected == *bytes { Ok(layout) } else { Err(damaged()) }
}

fn layout(payload: &[u8]) -> Option<Layout> {
    let numbers = payload.get(FOOTER_BYTES - 32..FOOTER_BYTES)?;
    let mut numbers =
        numbers.chunks_exact(8).map(|bytes| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)));
    Some(Layout { data: numbers.next()?, fences: numbers.next()?, filter: numbers.next()?, rows: numbers.next()? })
}
