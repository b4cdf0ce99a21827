//! Status documents, as the view holds them: one row a part. Data too long for a row stays in the log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use weirgate_log::{Change, LogReader, Views};
use weirgate_types::{HandlerName, Position, Record, StatusDocument, StatusPart};

use crate::{Refusal, rows};

const INLINE_DATA_BYTES_MAX: usize = 2 * 1024;

/// A part in the view.
#[derive(Serialize, Deserialize)]
struct StoredPart {
    part: StatusPart,
    /// Where the part's data stands when it is not in the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_at: Option<Place>,
}

/// A commit, and which of its status writes.
pub type Place = (Position, u16);

/// Reads and writes status documents.
#[derive(Clone)]
pub struct Statuses {
    pub views: Views,
    pub log: LogReader,
}

impl Statuses {
    /// The subject's document; empty, with version 0, when there is none.
    pub fn document(&self, subject: &str) -> Result<StatusDocument, Refusal> {
        let prefix = rows::parts(subject);
        let mut document = StatusDocument::default();
        for (key, value) in self.views.scan(&prefix, None, usize::MAX)? {
            let name = key.get(prefix.len()..).map(String::from_utf8_lossy).unwrap_or_default();
            document.set(&name, self.load(&value)?.0);
        }
        Ok(document)
    }

    /// One part, and where its data stands if that is too long for a row.
    pub fn part(&self, subject: &str, handler: &HandlerName) -> Result<Option<(StatusPart, Option<Place>)>, Refusal> {
        let row = self.views.get(&rows::part(subject, handler))?;
        row.map(|value| self.load(&value)).transpose()
    }

    fn load(&self, row: &[u8]) -> Result<(StatusPart, Option<Place>), Refusal> {
        let stored: StoredPart = serde_json::from_slice(row).map_err(|e| Refusal::Storage(e.to_string()))?;
        let mut part = stored.part;
        if let Some((position, index)) = stored.data_at {
            part.data = self.data_at(position, index)?;
        }
        Ok((part, stored.data_at))
    }

    fn data_at(&self, position: Position, index: u16) -> Result<Option<Box<RawValue>>, Refusal> {
        let Some((_, Record::Committed(commit))) = self.log.read(position)? else { return Ok(None) };
        let write = commit.effects.status.into_iter().nth(usize::from(index));
        Ok(write.and_then(|write| raw_json(write.data)))
    }
}

/// The row of a part. `place` says where in the log the part's data was written.
pub fn row(subject: &str, handler: &HandlerName, part: &StatusPart, place: Option<Place>) -> Change {
    let long = part.data.as_ref().is_some_and(|data| data.get().len() > INLINE_DATA_BYTES_MAX);
    let stored = match place.filter(|_| long) {
        None => StoredPart { part: part.clone(), data_at: None },
        place => StoredPart { part: StatusPart { data: None, ..part.clone() }, data_at: place },
    };
    let value = serde_json::to_vec(&stored).unwrap_or_default();
    Change { key: rows::part(subject, handler), value: Some(value), is_new: false }
}

/// JSON text as a value; the host has checked that it is JSON.
pub fn raw_json(text: Option<String>) -> Option<Box<RawValue>> {
    RawValue::from_string(text?).ok()
}
