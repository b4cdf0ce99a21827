//! Looks rows up in a table: one page of the filter, a few of fences, one of rows and those that follow.

use weirgate_types::Position;

use super::{
    Guide, Origin, Source, TableError, filter,
    footer::{self, Layout},
    page::{self, PAYLOAD_BYTES, Seed},
    writer::{FENCE_BYTES, PAGE_FENCES},
};
use crate::row::Row;

/// What rows are sorted by: group, part, position.
type Place = (u64, u64, Position);

/// A table whose footer is sound. Its other pages are checked when they are read.
#[derive(Clone)]
pub struct Table {
    source: Source,
    seed: Seed,
    layout: Layout,
}

impl Table {
    /// # Errors
    /// [`TableError::Damaged`]: it is no table of this origin.
    pub fn open(source: Source, origin: &Origin) -> Result<Self, TableError> {
        let pages = source.pages()?;
        let last = pages.checked_sub(1).ok_or(TableError::Damaged("it is too short"))?;
        let layout = footer::decode(origin, pages, &source.page(last)?)?;
        Ok(Self { source, seed: origin.seed(), layout })
    }

    /// Reads all pages.
    ///
    /// # Errors
    /// [`TableError::Damaged`]: one is not sound.
    pub fn verify(&self) -> Result<(), TableError> {
        let pages = self.layout.data + self.layout.fences + self.layout.filter;
        (0..pages).try_for_each(|number| self.read(number, |_| ()))
    }

    /// Whether it may have rows of a group.
    pub fn may_hold(&self, group: u64) -> Result<bool, TableError> {
        if self.layout.filter == 0 {
            return Ok(self.layout.data > 0);
        }
        let number = self.layout.data + self.layout.fences + filter::page_of(group, self.layout.filter);
        self.read(number, |page| filter::may_hold(page, group))
    }

    /// All rows.
    pub fn rows(&self) -> Rows {
        Rows { table: self.clone(), next_page: 0, page: Vec::new().into_iter(), from: None }
    }

    /// The rows from a place on.
    pub fn rows_from(&self, place: Place) -> Result<Rows, TableError> {
        // The page before may end with rows of this place.
        let page = self.pages_before(place)?.saturating_sub(1);
        Ok(Rows { table: self.clone(), next_page: page, page: Vec::new().into_iter(), from: Some(place) })
    }

    /// The last row before a place, if it is of the same group and part.
    pub fn last_before(&self, place: Place) -> Result<Option<Row>, TableError> {
        let Some(page) = self.pages_before(place)?.checked_sub(1) else { return Ok(None) };
        let rows = self.page_rows(page)?;
        let before = rows.partition_point(|row| self::place(row) < place);
        let last = before.checked_sub(1).and_then(|last| rows.get(last));
        Ok(last.filter(|row| (row.group, row.part) == (place.0, place.1)).copied())
    }

    /// How many pages begin before a place.
    fn pages_before(&self, place: Place) -> Result<u64, TableError> {
        let (mut low, mut high) = (0, self.layout.fences);
        // Among the fence pages, the number of those whose first fence is before it.
        while low < high {
            let middle = low + (high - low) / 2;
            let first = self.fences(middle)?.first().copied();
            if first.is_some_and(|fence| fence < place) { low = middle + 1 } else { high = middle }
        }
        let Some(page) = low.checked_sub(1) else { return Ok(0) };
        let fences = self.fences(page)?;
        Ok(page * PAGE_FENCES as u64 + fences.partition_point(|fence| *fence < place) as u64)
    }

    fn fences(&self, number: u64) -> Result<Vec<Place>, TableError> {
        self.read(self.layout.data + number, |page| {
            let fence = |bytes: &[u8]| {
                let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
                Some((number(0)?, number(8)?, Position(number(16)?)))
            };
            page.chunks_exact(FENCE_BYTES).filter_map(fence).collect()
        })
    }

    /// The filter and the first group of each page of rows, in memory.
    pub fn guide(&self) -> Result<Guide, TableError> {
        let Layout { data, fences, filter, .. } = self.layout;
        let mut first = Vec::with_capacity(usize::try_from(data).unwrap_or_default());
        for number in 0..fences {
            first.extend(self.fences(number)?.into_iter().map(|(group, ..)| group));
        }
        let number = |page: u64| data + fences + page;
        let filter = (0..filter).map(|page| self.read(number(page), <[u8]>::to_vec));
        Ok(Guide { filter: filter.collect::<Result<_, _>>()?, first })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.layout.rows
    }

    pub(super) fn page_rows(&self, number: u64) -> Result<Vec<Row>, TableError> {
        let rows = self.read(number, |page| {
            let (mut rest, mut rows) = (page, Vec::with_capacity(PAYLOAD_BYTES / 4));
            while !rest.is_empty() {
                let (row, behind) = Row::decode(rows.last(), rest)?;
                rows.push(row);
                rest = behind;
            }
            Some(rows)
        })?;
        rows.ok_or(TableError::Damaged("a page's checksum is right, but it holds no rows"))
    }

    fn read<T>(&self, number: u64, look: impl FnOnce(&[u8]) -> T) -> Result<T, TableError> {
        let page = self.source.page(number)?;
        Ok(look(page::decode(self.seed, number, &page)?))
    }
}

fn place(row: &Row) -> Place {
    (row.group, row.part, row.position)
}

/// Rows in order, read page by page. Ends after an error.
pub struct Rows {
    table: Table,
    next_page: u64,
    page: std::vec::IntoIter<Row>,
    /// Rows before it are left out.
    from: Option<Place>,
}

impl Iterator for Rows {
    type Item = Result<Row, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.page.next() {
                if self.from.is_some_and(|from| place(&row) < from) {
                    continue;
                }
                self.from = None;
                return Some(Ok(row));
            }
            if self.next_page >= self.table.layout.data {
                return None;
            }
            match self.table.page_rows(self.next_page) {
                Ok(rows) => self.page = rows.into_iter(),
                Err(error) => {
                    self.next_page = u64::MAX;
                    return Some(Err(error));
                }
            }
            self.next_page += 1;
        }
    }
}
