//! Builds the index of consecutive records from the log.

use weirgate_log::LogReader;
use weirgate_types::Position;

use crate::{
    HistoryError,
    gather::Gatherer,
    part::Part,
    row::Row,
    table::{self, Origin, Source, Table},
    terms::Terms,
};

/// The sorted rows of the records from `first` to `last`, or to the present head; and the last position.
pub fn gather(
    log: &LogReader,
    terms: Terms,
    first: Position,
    last: Option<Position>,
) -> Result<(Vec<Row>, Position), HistoryError> {
    let (mut gatherer, mut through) = (Gatherer::new(terms), first.before());
    for read in log.scan(first) {
        let (position, record) = read?;
        if last.is_some_and(|last| position > last) {
            break;
        }
        gatherer.take(position, &record);
        through = position.plus(record.width()).before();
    }
    Ok((gatherer.finish(|position| key_of(log, position))?, through))
}

/// The key of an event; `None` if it was lost.
fn key_of(log: &LogReader, position: Position) -> Result<Option<String>, HistoryError> {
    let Some((first, record)) = log.read(position)? else { return Ok(None) };
    let offset = position.0.saturating_sub(first.0);
    Ok(record.event_at(offset).map(|event| event.key().to_owned()))
}

/// A table in memory.
pub fn in_memory(origin: &Origin, rows: Vec<Row>) -> Result<Part, HistoryError> {
    let mut bytes = Vec::new();
    table::write(origin, rows.into_iter().map(Ok), &mut bytes)?;
    Ok(Part::Table(Table::open(Source::Memory(bytes.into()), origin)?))
}
