//! The index of the growing segment, in memory: extended by what was appended since, when it is asked for. So nothing of it is on the
//! path of a record into the log.

use std::sync::Arc;

use weirgate_log::LogReader;
use weirgate_types::Position;

use crate::{
    HistoryError,
    build::{gather, in_memory},
    part::Part,
    row::Row,
    table::Origin,
    terms::Terms,
};

/// Rows beyond this number become a table, which takes a tenth of the memory.
const ROWS_MAX: usize = 32 * 1_024;

/// See the module documentation.
#[derive(Default)]
pub struct Tail {
    /// Where the growing segment begins.
    first: Position,
    /// The last position that is indexed.
    through: Position,
    tables: Vec<Part>,
    rows: Arc<Vec<Row>>,
}

impl Tail {
    /// The parts of the index from `origin.first` up to the present head.
    pub fn parts(&mut self, origin: &Origin, log: &LogReader, terms: Terms) -> Result<Vec<Part>, HistoryError> {
        if self.first != origin.first {
            *self = Self { first: origin.first, through: origin.first.before(), ..Self::default() };
        }
        if self.through < log.head() {
            let (new, through) = gather(log, terms, self.through.next(), None)?;
            let mut rows = std::mem::take(&mut self.rows).as_ref().clone();
            rows.extend(new);
            rows.sort_unstable();
            if rows.len() > ROWS_MAX {
                self.tables.push(in_memory(origin, std::mem::take(&mut rows))?);
            }
            (self.rows, self.through) = (Arc::new(rows), through);
        }
        Ok(self.tables.iter().cloned().chain([Part::Rows(Arc::clone(&self.rows))]).collect())
    }
}
