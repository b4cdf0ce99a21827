//! Writes a table from sorted rows, in one pass.

use std::io::{self, Write};

use super::{
    TableError, filter,
    footer::{self, Layout, Origin},
    page::{self, PAGE_BYTES, PAYLOAD_BYTES, Seed},
};
use crate::row::{ROW_BYTES_MAX, Row};

/// Bytes of a fence: group, part and position of a page's first row.
pub const FENCE_BYTES: usize = 24;
/// Number of fences of a page.
pub const PAGE_FENCES: usize = PAYLOAD_BYTES / FENCE_BYTES;
/// A table with more groups has no filter: each group is looked up at its place.
const FILTER_GROUPS_MAX: usize = 1 << 22;

/// Writes a table of `origin` with these rows, which are sorted. Returns its size in bytes.
///
/// # Errors
/// Those of `rows` and of `out`.
pub fn write(
    origin: &Origin,
    rows: impl IntoIterator<Item = Result<Row, TableError>>,
    out: impl Write,
) -> Result<u64, TableError> {
    let pages = Pages { out, seed: origin.seed(), next: 0 };
    let mut writer = Writer { pages, page: Vec::new(), before: None, rows: 0, fences: Vec::new(), groups: Vec::new() };
    for row in rows {
        writer.push(row?)?;
    }
    writer.finish(origin)
}

struct Pages<W> {
    out: W,
    seed: Seed,
    next: u64,
}

impl<W: Write> Pages<W> {
    fn put(&mut self, payload: &[u8]) -> io::Result<()> {
        self.out.write_all(&page::encode(self.seed, self.next, payload))?;
        self.next += 1;
        Ok(())
    }
}

struct Writer<W> {
    pages: Pages<W>,
    /// The rows of the page that is being filled.
    page: Vec<u8>,
    before: Option<Row>,
    rows: u64,
    /// The first row of each page.
    fences: Vec<u8>,
    /// Up to [`FILTER_GROUPS_MAX`] of them, and one more.
    groups: Vec<u64>,
}

impl<W: Write> Writer<W> {
    fn push(&mut self, row: Row) -> Result<(), TableError> {
        if self.page.len() + ROW_BYTES_MAX > PAYLOAD_BYTES {
            self.end_page()?;
        }
        if self.page.is_empty() {
            self.fences.extend([row.group, row.part, row.position.0].iter().flat_map(|number| number.to_le_bytes()));
        }
        if self.groups.last() != Some(&row.group) && self.groups.len() <= FILTER_GROUPS_MAX {
            self.groups.push(row.group);
        }
        let before = self.before.filter(|_| !self.page.is_empty());
        row.encode(before.as_ref(), &mut self.page).map_err(io::Error::other)?;
        self.before = Some(row);
        self.rows += 1;
        Ok(())
    }

    fn end_page(&mut self) -> io::Result<()> {
        self.pages.put(&self.page)?;
        self.page.clear();
        Ok(())
    }

    fn finish(mut self, origin: &Origin) -> Result<u64, TableError> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let data = self.pages.next;
        for fences in self.fences.chunks(PAGE_FENCES * FENCE_BYTES) {
            self.pages.put(fences)?;
        }
        let fences = self.pages.next - data;
        let filter = self.write_filter()?;
        self.pages.out.write_all(&footer::encode(origin, &Layout { data, fences, filter, rows: self.rows }))?;
        self.pages.out.flush()?;
        Ok((self.pages.next + 1) * PAGE_BYTES as u64)
    }

    /// The groups are sorted, and so are the pages that tell of them.
    fn write_filter(&mut self) -> io::Result<u64> {
        if self.groups.len() > FILTER_GROUPS_MAX {
            return Ok(0);
        }
        let count = filter::pages(self.groups.len() as u64);
        let mut groups = self.groups.iter().copied().peekable();
        for number in 0..count {
            let mut page = vec![0; PAYLOAD_BYTES];
            while let Some(group) = groups.next_if(|group| filter::page_of(*group, count) == number) {
                filter::note(&mut page, group);
            }
            self.pages.put(&page)?;
        }
        Ok(count)
    }
}
