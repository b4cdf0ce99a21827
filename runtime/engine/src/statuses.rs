//! Status documents in the view: one row per part. Data too long for a row stays in the log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use weirgate_log::LogReader;
use weirgate_types::{HandlerName, Position, Record, StatusDocument, StatusPart, StatusWrite};
use weirgate_views::{Change, Views};

use crate::{StorageError, keys};

/// Maximum row length, in bytes; beyond it the handler's data stays in the log.
const ROW_BYTES_MAX: usize = 3 * 1024;

/// A part in the view, owned or borrowed.
#[derive(Serialize, Deserialize)]
struct StoredPart<P = StatusPart> {
    part: P,
    /// Where the part was written.
    #[serde(rename = "place")]
    write_ref: Option<WriteRef>,
    /// Whether state, text and data are only in the log.
    elsewhere: bool,
}

/// A record of commits, and the index among its status writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRef(pub Position, pub u32);

/// Reads and writes status documents.
#[derive(Clone)]
pub struct Statuses {
    pub views: Views,
    pub log: LogReader,
}

impl Statuses {
    /// The subject's document; empty, with version 0, when there is none.
    pub fn document(&self, subject: &str) -> Result<StatusDocument, StorageError> {
        let prefix = keys::parts(subject);
        let mut document = StatusDocument::default();
        for (key, value) in self.views.scan(&prefix, None, usize::MAX)? {
            let name = key.get(prefix.len()..).map(String::from_utf8_lossy).unwrap_or_default();
            document.set(&name, self.load(&value)?.0);
        }
        Ok(document)
    }

    /// One part, and where it was written.
    pub fn part(
        &self,
        subject: &str,
        handler: &HandlerName,
    ) -> Result<Option<(StatusPart, Option<WriteRef>)>, StorageError> {
        let row = self.views.get(&keys::part(subject, handler))?;
        row.map(|value| self.load(&value)).transpose()
    }

    fn load(&self, row: &[u8]) -> Result<(StatusPart, Option<WriteRef>), StorageError> {
        let mut stored: StoredPart =
            serde_json::from_slice(row).map_err(StorageError::undecodable("a part of a status"))?;
        if let Some(write_ref) = stored.write_ref.filter(|_| stored.elsewhere) {
            let write = self.write_at(write_ref)?;
            (stored.part.state, stored.part.text, stored.part.data) = (write.state, write.text, raw_json(write.data));
        }
        Ok((stored.part, stored.write_ref))
    }

    fn write_at(&self, WriteRef(position, index): WriteRef) -> Result<StatusWrite, StorageError> {
        let record = self.log.read(position)?.map(|(_, record)| record);
        let effects = record.iter().flat_map(Record::effects);
        let write = effects
            .flat_map(|written| &written.effects.status)
            .nth(usize::try_from(index).unwrap_or(usize::MAX))
            .cloned();
        write.ok_or(StorageError::Missing { what: "status", position })
    }
}

/// The row of a part. `write_ref` is where it was written in the log; a part without one holds only the runtime's status.
pub fn row(subject: &str, handler: &HandlerName, part: &StatusPart, write_ref: Option<WriteRef>) -> Change {
    let encode = |part: &StatusPart, elsewhere| {
        serde_json::to_vec(&StoredPart { part, write_ref, elsewhere }).unwrap_or_default()
    };
    let mut value = encode(part, false);
    if value.len() > ROW_BYTES_MAX && write_ref.is_some() {
        let (state, text) = (String::new(), String::new());
        value = encode(&StatusPart { state, text, data: None, ..part.clone() }, true);
    }
    Change::put(keys::part(subject, handler), value)
}

/// JSON text as a value; the host has checked that it is JSON.
pub fn raw_json(text: Option<String>) -> Option<Box<RawValue>> {
    RawValue::from_string(text?).ok()
}

#[cfg(test)]
mod tests {
    use weirgate_types::PartDelivery;
    use weirgate_views::VALUE_BYTES_MAX;

    use super::*;

    /// The largest size that the contract allows: escaping makes it larger.
    fn largest() -> StatusPart {
        let message = "\"".repeat(200);
        let next_attempt_at_ms = u64::MAX;
        StatusPart {
            version: Position(u64::MAX),
            at_ms: u64::MAX,
            state: "\"".repeat(64),
            text: "\"".repeat(1024),
            data: raw_json(Some(format!("\"{}\"", "x".repeat(16 * 1024 - 2)))),
            delivery: Some(PartDelivery::Retrying {
                event: Position(u64::MAX),
                attempt: 1,
                next_attempt_at_ms,
                message,
            }),
            corrected: true,
            removed: true,
        }
    }

    #[test]
    fn every_row_fits_the_view() {
        let handler = "h".repeat(64).parse().expect("a name");
        for data in [largest().data, raw_json(Some(format!("\"{}\"", "x".repeat(2_000)))), None] {
            let change = row(
                "order/o-1",
                &handler,
                &StatusPart { data, ..largest() },
                Some(WriteRef(Position(u64::MAX), u32::MAX)),
            );
            let length = change.value.expect("a row").len();
            assert!(length <= VALUE_BYTES_MAX, "{length} bytes");
        }
        let said = StatusPart { state: String::new(), text: String::new(), data: None, ..largest() };
        assert!(row("s", &handler, &said, None).value.expect("a row").len() <= VALUE_BYTES_MAX);
    }
}
