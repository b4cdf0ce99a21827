//! A part of the index: the rows of consecutive records, in a table or, for the newest, in memory.

use std::sync::Arc;

use weirgate_types::Position;

use crate::{
    row::Row,
    table::{Table, TableError},
};

#[derive(Clone)]
pub enum Part {
    Table(Table),
    /// Sorted.
    Rows(Arc<Vec<Row>>),
}

impl Part {
    pub fn may_hold(&self, group: u64) -> Result<bool, TableError> {
        match self {
            Self::Table(table) => table.may_hold(group),
            Self::Rows(_) => Ok(true),
        }
    }

    /// The rows of a group from a part and position on, as long as `take` returns true.
    pub fn visit(
        &self,
        (group, part, position): (u64, u64, Position),
        mut take: impl FnMut(Row) -> bool,
    ) -> Result<(), TableError> {
        match self {
            Self::Table(table) => {
                for row in table.rows_from((group, part, position))? {
                    let row = row?;
                    if row.group != group || !take(row) {
                        break;
                    }
                }
            }
            Self::Rows(rows) => {
                let from = rows.partition_point(|row| (row.group, row.part, row.position) < (group, part, position));
                let of_group = rows.get(from..).unwrap_or_default().iter().take_while(|row| row.group == group);
                let _ = of_group.copied().take_while(|row| take(*row)).last();
            }
        }
        Ok(())
    }

    /// The last row before a position of the same group and part.
    pub fn last_before(&self, (group, part, position): (u64, u64, Position)) -> Result<Option<Row>, TableError> {
        match self {
            Self::Table(table) => table.last_before((group, part, position)),
            Self::Rows(rows) => {
                let before = rows.partition_point(|row| (row.group, row.part, row.position) < (group, part, position));
                let last = before.checked_sub(1).and_then(|last| rows.get(last));
                Ok(last.filter(|row| (row.group, row.part) == (group, part)).copied())
            }
        }
    }
}
