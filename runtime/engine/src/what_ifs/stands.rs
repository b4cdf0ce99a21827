//! What stands now, in the log.

use weirgate_types::{HandlerName, Position};

use crate::replay::{PartWrite, Parts, ReplayError, Sources, Stands};

/// See the module documentation.
pub struct Now<'a>(Parts<'a>);

impl<'a> Now<'a> {
    pub fn new(sources: &'a Sources, handler: &'a HandlerName) -> Self {
        Self(Parts { look: &sources.look, handler })
    }
}

impl Stands for Now<'_> {
    type Error = ReplayError;

    fn part_beside(&self, key: &str, subject: &str, since: Position) -> Result<Option<PartWrite>, ReplayError> {
        let end = Position(u64::MAX);
        let named = if subject == key { since } else { end };
        self.0.last(subject, (named, end), |at, by| by != key || at < since)
    }
}
