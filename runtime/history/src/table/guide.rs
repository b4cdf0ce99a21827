//! What a table that is looked up for every event keeps in memory: its filter, and where each page of rows begins. So a group that
//! it lacks costs no read, and one that it has costs one.

use super::{Table, TableError, filter};
use crate::row::Row;

/// See [`Table::guide`].
pub struct Guide {
    /// Pages of the filter; none if the table has none.
    pub(super) filter: Vec<Vec<u8>>,
    /// The first group of each page of rows.
    pub(super) first: Vec<u64>,
}

impl Guide {
    /// Whether the table may have rows of a group.
    pub fn may_hold(&self, group: u64) -> bool {
        let page = filter::page_of(group, self.filter.len() as u64);
        let page = usize::try_from(page).ok().and_then(|page| self.filter.get(page));
        page.map_or(!self.first.is_empty(), |page| filter::may_hold(page, group))
    }

    /// The last row of a group and part of the table that this is of.
    pub fn last(&self, table: &Table, group: u64, part: u64) -> Result<Option<Row>, TableError> {
        if !self.may_hold(group) {
            return Ok(None);
        }
        // A page before the first one that begins with the group may end with it.
        let page = self.first.partition_point(|first| *first < group).saturating_sub(1);
        let mut found = None;
        for (page, first) in self.first.iter().enumerate().skip(page) {
            if *first > group {
                break;
            }
            let rows = table.page_rows(page as u64)?;
            found = rows.into_iter().rfind(|row| (row.group, row.part) == (group, part)).or(found);
        }
        Ok(found)
    }
}
