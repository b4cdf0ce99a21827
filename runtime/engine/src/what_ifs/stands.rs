//! What stands, in the log.

use weirgate_types::{HandlerName, Position, Record};

use crate::replay::{PartWrite, PartWrites, Parts, ReplayError, Sources, Stands};

/// See the module documentation.
pub struct Now<'a> {
    writes: PartWrites<'a>,
    /// Records from here on do not count.
    end: Position,
    parts: &'a Parts<'a>,
}

impl<'a> Now<'a> {
    pub fn new(sources: &'a Sources, handler: &'a HandlerName, parts: &'a Parts<'a>) -> Self {
        Self { writes: PartWrites { look: &sources.look, handler }, end: Position(u64::MAX), parts }
    }

    /// What stood after a position: plans that are computed again later are the same.
    pub fn through(self, through: Position) -> Self {
        Self { end: through.next(), ..self }
    }
}

impl Stands for Now<'_> {
    type Error = ReplayError;

    fn parts(&self) -> &Parts<'_> {
        self.parts
    }

    fn last_write(
        &self,
        subject: &str,
        after: Position,
        (key, since): (&str, Position),
        counts: impl Fn((Position, &Record), &str) -> bool,
    ) -> Result<Option<PartWrite>, ReplayError> {
        let named = if subject == key { since.min(self.end) } else { self.end };
        let counts = |record: (Position, &Record), by: &str| (by != key || record.0 < since) && counts(record, by);
        self.writes.last((subject, after), (named, self.end), counts)
    }
}
