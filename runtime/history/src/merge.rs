//! Merges sorted rows of several tables. Knows neither files nor what the rows are about.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    row::Row,
    table::{Rows, TableError},
};

/// The newest row of each group and part, in order; removed ones left out.
#[derive(Default)]
pub struct Merge {
    sources: Vec<Rows>,
    /// The next row of each source.
    next: BinaryHeap<Reverse<(Row, usize)>>,
}

impl Merge {
    /// Adds a table's rows.
    pub fn add(&mut self, source: Rows) -> Result<(), TableError> {
        self.sources.push(source);
        self.advance(self.sources.len() - 1)
    }

    fn advance(&mut self, source: usize) -> Result<(), TableError> {
        let Some(rows) = self.sources.get_mut(source) else { return Ok(()) };
        for row in rows {
            let row = row?;
            if row.is_write() {
                self.next.push(Reverse((row, source)));
                break;
            }
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = Result<Row, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((row, source)) = self.next.pop()?;
            if let Err(error) = self.advance(source) {
                self.next.clear();
                return Some(Err(error));
            }
            let is_newest =
                self.next.peek().is_none_or(|Reverse((next, _))| (next.group, next.part) != (row.group, row.part));
            if is_newest && !row.removed {
                return Some(Ok(row));
            }
        }
    }
}
