//! The story of a key: its records, and what happened to its handlers meanwhile, in order of position. Read through the history's
//! index, never by scanning the log.

mod cursor;
mod meanwhile;
mod values;

use std::ops::ControlFlow;

use weirgate_types::{Position, Record};

use super::{Handle, blocking};
use crate::Refusal;
use cursor::Cursor;
use meanwhile::{Hashed, Meanwhile};
use values::Values;

/// Something that happened to a key.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The record's position; for an event that the record emitted, the event's.
    pub position: Position,
    pub first: Position,
    pub record: &'a Record,
    /// For each state write of the record's commits, in order: the value before, if it is the key's and there was one.
    pub before: Vec<Option<Vec<u8>>>,
}

impl Handle {
    /// Passes what happened to a key after a position to `look`, until it breaks: what it broke at is left to the next page.
    /// Returns the last position looked at, and whether there may be more.
    ///
    /// # Errors
    /// [`Refusal::HistoryNotReady`]; the log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn timeline<F>(&self, key: String, after: Position, look: F) -> Result<(Position, bool, F), Refusal>
    where
        F: FnMut(&Moment<'_>) -> ControlFlow<()> + Send + 'static,
    {
        let (handle, scan) = (self.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let mut look = look;
            let (through, has_more) = tell(&handle, &key, after, &mut look)?;
            Ok((through, has_more, look))
        })
        .await?
    }
}

fn tell(
    handle: &Handle,
    key: &str,
    after: Position,
    look: &mut impl FnMut(&Moment<'_>) -> ControlFlow<()>,
) -> Result<(Position, bool), Refusal> {
    let history = handle.0.indexing.history.look();
    let mut cursor = Cursor::new(&history, key, after);
    let hashed = Hashed { key, hash: handle.0.keys.hash(key) };
    let mut meanwhile = Meanwhile::new(&history, &handle.0.statuses, hashed, after)?;
    let mut values = Values::default();
    let mut through = after;
    loop {
        let Some(next) = cursor.peek()? else { return Ok((through, false)) };
        // What happened to the handlers before it.
        let (position, stored) = match meanwhile.next_before(next)? {
            Some(found) => found,
            None if meanwhile.is_exhausted() => return Ok((through.max(meanwhile.through()), true)),
            None => {
                let Some(found) = cursor.take()? else { continue };
                found
            }
        };
        // At the position of an event that a commit emitted, the event is told, and not the commit.
        let is_event = position != stored.first;
        let before = if is_event { Vec::new() } else { values.before(&history, key, position, &stored.record)? };
        let moment = Moment { position, first: stored.first, record: &stored.record, before };
        if look(&moment).is_break() {
            return Ok((through, true));
        }
        through = position;
    }
}
