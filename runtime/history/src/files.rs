//! The files of a history folder. Each is whole or absent: it is written under another name, synced and renamed. One that is damaged
//! is removed, and made again.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufWriter, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use weirgate_log::{Storage, StorageFile};
use weirgate_types::Position;

use crate::{
    row::Row,
    table::{self, Kind, Origin, Source, Table, TableError},
};

/// Maximum number of open tables.
const OPEN_MAX: usize = 64;
/// How much of a table is written at once, in bytes.
const WRITE_BYTES: usize = 256 * 1024;
/// The suffix of a file that is being written.
pub const UNFINISHED: &str = ".new";

pub struct Files {
    storage: Arc<dyn Storage>,
    /// Sizes in bytes.
    known: Mutex<BTreeMap<Id, u64>>,
    /// Most recently used last.
    open: Mutex<VecDeque<(Id, Table)>>,
}

/// A table's kind, and the position in its name.
type Id = (bool, Position);

fn id(origin: &Origin) -> Id {
    match origin.kind {
        Kind::Snapshot => (true, origin.last),
        Kind::Index | Kind::Identities => (false, origin.first),
    }
}

fn name((is_snapshot, position): Id) -> String {
    format!("{:020}.{}", position.0, if is_snapshot { "state" } else { "idx" })
}

fn id_of(name: &str) -> Option<Id> {
    let (digits, suffix) = name.split_once('.')?;
    let is_snapshot = match suffix {
        "idx" => false,
        "state" => true,
        _ => return None,
    };
    let id = (is_snapshot, Position(digits.parse().ok()?));
    (self::name(id) == name).then_some(id)
}

impl Files {
    /// The tables in a folder that `origin_of` knows. Removes the others, and what was left unfinished.
    pub fn open(storage: Arc<dyn Storage>, origin_of: impl Fn(Kind, Position) -> Option<Origin>) -> io::Result<Self> {
        let files = Self::none(storage);
        for name in files.storage.list()? {
            let Some(id) = id_of(&name) else {
                if name.ends_with(UNFINISHED) {
                    files.storage.remove(&name)?;
                }
                continue;
            };
            let kind = if id.0 { Kind::Snapshot } else { Kind::Index };
            match origin_of(kind, id.1).map(|origin| files.read(&origin)) {
                Some(Ok((_, bytes))) => drop(files.known.lock().insert(id, bytes)),
                other => {
                    let why = other.and_then(Result::err).map(|error| error.to_string()).unwrap_or_default();
                    tracing::info!(name, why, "a table of the history is not one of this log: it is made again");
                    files.storage.remove(&name)?;
                }
            }
        }
        Ok(files)
    }

    /// No tables.
    pub fn none(storage: Arc<dyn Storage>) -> Self {
        Self { storage, known: Mutex::default(), open: Mutex::default() }
    }

    /// Number of indexes.
    pub fn indexes(&self) -> usize {
        self.known.lock().keys().filter(|(is_snapshot, _)| !is_snapshot).count()
    }

    pub fn has(&self, origin: &Origin) -> bool {
        self.known.lock().contains_key(&id(origin))
    }

    /// The last snapshot that ends at or before a position, and its size in bytes.
    pub fn snapshot_until(&self, position: Position) -> Option<(Position, u64)> {
        let known = self.known.lock();
        let (id, bytes) = known.range((true, Position::ZERO)..=(true, position)).next_back()?;
        Some((id.1, *bytes))
    }

    /// The table of this origin, if there is one.
    pub fn table(&self, origin: &Origin) -> io::Result<Option<Table>> {
        let id = id(origin);
        if !self.has(origin) {
            return Ok(None);
        }
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|(other, _)| *other == id)
            && let Some(entry) = open.remove(at)
        {
            let table = entry.1.clone();
            open.push_back(entry);
            return Ok(Some(table));
        }
        match self.read(origin) {
            Ok((table, _)) => {
                if open.len() >= OPEN_MAX {
                    open.pop_front();
                }
                open.push_back((id, table.clone()));
                Ok(Some(table))
            }
            Err(TableError::Io(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(error) => {
                drop(open);
                self.forget(origin, &error);
                Ok(None)
            }
        }
    }

    /// Removes a table that is damaged or gone.
    pub fn forget(&self, origin: &Origin, error: &TableError) {
        let id = id(origin);
        let name = name(id);
        if self.known.lock().remove(&id).is_none() {
            return;
        }
        tracing::warn!(name, error = error as &dyn std::error::Error, "a table of the history is made again");
        self.open.lock().retain(|(other, _)| *other != id);
        if let Err(error) = self.storage.remove(&name)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(name, %error, "the damaged table cannot be removed");
        }
    }

    /// Writes a table.
    pub fn put(
        &self,
        origin: &Origin,
        rows: impl IntoIterator<Item = Result<Row, TableError>>,
    ) -> Result<(), TableError> {
        let id = id(origin);
        let bytes = write_table(&*self.storage, &name(id), origin, rows)?;
        self.known.lock().insert(id, bytes);
        Ok(())
    }

    fn read(&self, origin: &Origin) -> Result<(Table, u64), TableError> {
        let file = self.storage.open(&name(id(origin)))?;
        let bytes = file.size()?;
        Ok((Table::open(Source::File(file), origin)?, bytes))
    }
}

/// Writes a table under a name, durably, as a whole or not at all. Returns its size in bytes.
pub fn write_table(
    storage: &dyn Storage,
    name: &str,
    origin: &Origin,
    rows: impl IntoIterator<Item = Result<Row, TableError>>,
) -> Result<u64, TableError> {
    let unfinished = format!("{name}{UNFINISHED}");
    let written = write_unfinished(storage, &unfinished, origin, rows).and_then(|bytes| {
        storage.replace(&unfinished, name)?;
        storage.sync_dir()?;
        Ok(bytes)
    });
    if written.is_err() {
        // It takes space, which may be what is lacking. If it cannot be removed, the next start does.
        let _ = storage.remove(&unfinished);
    }
    written
}

fn write_unfinished(
    storage: &dyn Storage,
    name: &str,
    origin: &Origin,
    rows: impl IntoIterator<Item = Result<Row, TableError>>,
) -> Result<u64, TableError> {
    match storage.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = storage.create(name)?;
    let out = BufWriter::with_capacity(WRITE_BYTES, Appending { file: Arc::clone(&file), at: 0 });
    let bytes = table::write(origin, rows, out)?;
    file.sync_data()?;
    Ok(bytes)
}

/// Writes to the end of a file.
struct Appending {
    file: Arc<dyn StorageFile>,
    at: u64,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
