//! What stands in a world, found by reading its log from the end.

use weirgate_types::{HandlerName, Position, Record};

use super::{super::*, world::World};

/// A world, and what the keys that differ have of the parts that they write.
pub struct Now<'a> {
    pub world: &'a World,
    pub handler: &'a HandlerName,
    pub parts: &'a Parts<'a>,
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
        let records = self.world.log.reader().scan(after.next()).map(|read| read.expect("a record"));
        let mut behind: Vec<_> = records.filter(|(at, _)| *at > after).collect();
        while let Some((at, record)) = behind.pop() {
            let counts = |by: &str| {
                self.world.looked_at.set(self.world.looked_at.get() + 1);
                (by != key || at < since) && counts((at, &record), by)
            };
            if let Record::Repaired(one) = &record
                && one.handler == *self.handler
                && one.unset.iter().any(|unset| unset == subject)
                && counts(&one.key)
            {
                return Ok(Some(PartWrite { at, by: one.key.clone(), status: None }));
            }
            let written = record.effects().filter(|one| one.handler == self.handler);
            let writes = written.flat_map(|one| one.effects.status.iter().map(move |write| (one.key, write)));
            let of_subject = writes.filter(|(by, write)| write.subject == subject && counts(by));
            if let Some((by, write)) = of_subject.last() {
                return Ok(Some(PartWrite { at, by: by.to_owned(), status: Some(write.clone()) }));
            }
        }
        Ok(None)
    }
}
