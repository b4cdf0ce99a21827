//! Opens the log and its views together; checks and repairs them while no server runs. Each can show a loss of the other:
//! views ahead of the log prove that it has lost acknowledged records.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use weirgate_history::{History, HistoryError, Identities, Made, Sizes};
use weirgate_host::Host;
use weirgate_log::{DirStorage, Identity, Known, Log, LogOptions, Loss, Opening, Repair, Storage, random_epoch};
pub use weirgate_log::{Epochs, Finding, LogError, LogReader, LostRange, Repaired, Survey};
use weirgate_types::{KeyHasher, Position};
use weirgate_views::{ViewError, ViewOptions, Views};

use crate::{StartError, identities::IdentityWindow, replay::Recordings, tables::TABLES};

/// The log's directory within a data directory.
#[must_use]
pub fn log_dir(data: &Path) -> PathBuf {
    data.join("log")
}

fn views_dir(data: &Path) -> PathBuf {
    data.join("views")
}

/// The history's directory within a data directory. It may be deleted while the server is stopped.
pub(crate) fn history_dir(data: &Path) -> PathBuf {
    data.join("history")
}

/// The directory of the index of identities within a data directory. It may be deleted while the server is stopped.
fn identities_dir(data: &Path) -> PathBuf {
    data.join("identities")
}

/// Opens the history of a log. It is only for questions about the past, so the server starts without its files too.
pub(crate) fn open_history(data: &Path, log: &Log) -> Arc<History> {
    history(data, &(log.reader(), Arc::clone(log.epochs()), log.key_hasher()))
}

fn history(data: &Path, of: &(LogReader, Arc<Epochs>, KeyHasher)) -> Arc<History> {
    let parts = || of.clone();
    let opened = DirStorage::open(&history_dir(data)).map_err(std::io::Error::other).and_then(|storage| {
        let (log, epochs, hasher) = parts();
        History::open(Arc::new(storage), log, epochs, hasher)
    });
    let history = opened.unwrap_or_else(|error| {
        let dir = history_dir(data);
        tracing::warn!(dir = %dir.display(), error = &error as &dyn std::error::Error, "the history cannot be opened");
        let (log, epochs, hasher) = parts();
        History::without_files(log, epochs, hasher)
    });
    Arc::new(history)
}

/// Opens the index of identities, which is made from the log as far as it is missing.
pub(crate) fn open_identities(
    data: &Path,
    log: &Log,
    window: IdentityWindow,
    now_ms: u64,
) -> Result<Arc<Identities>, StartError> {
    let storage = Arc::new(DirStorage::open(&identities_dir(data))?);
    let identities = identities_of(storage, log, window, now_ms, Sizes::default())?;
    Ok(Arc::new(identities))
}

/// The index of identities in a folder.
pub(crate) fn identities_of(
    storage: Arc<dyn Storage>,
    log: &Log,
    window: IdentityWindow,
    now_ms: u64,
    sizes: Sizes,
) -> Result<Identities, HistoryError> {
    let reader = log.reader();
    let floor = window.floor(&reader, log.head(), now_ms)?;
    Identities::open(storage, &reader, Arc::clone(log.epochs()), floor, sizes)
}

/// Removes history and index of identities: the log that they were made from is being changed.
fn remove_derived(data: &Path) -> std::io::Result<()> {
    [history_dir(data), identities_dir(data)].iter().try_for_each(|dir| match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Opens the log and its views, or creates them.
///
/// # Errors
/// [`weirgate_log::LogError::Lost`] if acknowledged records are missing and the loss is not accepted: nothing was changed.
pub(crate) fn open(data: &Path, accept_loss: bool, now_ms: u64) -> Result<(Log, Views), StartError> {
    let (log_dir, views_dir) = (log_dir(data), views_dir(data));
    std::fs::create_dir_all(&log_dir)?;
    let storage = Arc::new(DirStorage::open(&log_dir)?);
    let mut opening = Opening::read(storage, Identity::random()?, LogOptions::default())?;
    let views = open_views(&views_dir, &mut opening, accept_loss)?;
    let log = match opening.loss().cloned() {
        Some(loss) if accept_loss => {
            remove_derived(data)?;
            accept(opening, &loss, now_ms)?
        }
        _ => {
            if accept_loss {
                tracing::info!("no acknowledged records are missing: --accept-loss has no effect");
            }
            opening.finish()?
        }
    };
    let views = match views {
        Some(views) => views,
        None => Views::open(&views_dir, TABLES, (log.epochs(), log.head()), ViewOptions::default())?,
    };
    Ok((log, views))
}

/// Opens the views, unless they or other evidence show that the log has lost records.
fn open_views(dir: &Path, opening: &mut Opening, accept_loss: bool) -> Result<Option<Views>, StartError> {
    let is_lost = opening.loss().is_some();
    if opening.is_new() || is_lost {
        if (accept_loss || !is_lost)
            && let Some(known) = Views::applied_in(dir, TABLES, &ViewOptions::default())?
        {
            opening.applied_by_views(known);
        }
        return Ok(None);
    }
    match Views::open(dir, TABLES, (&opening.epochs(), opening.head()), ViewOptions::default()) {
        Err(ViewError::Ahead(known)) => {
            opening.applied_by_views(known);
            Ok(None)
        }
        opened => Ok(Some(opened?)),
    }
}

fn accept(opening: Opening, loss: &Loss, now_ms: u64) -> Result<Log, StartError> {
    tracing::warn!(from = %loss.from, to = %loss.to, %loss, "continuing without acknowledged records");
    let (log, repaired) = opening.accept_loss(random_epoch()?, now_ms)?;
    for copy in repaired.iter().flat_map(|repaired| &repaired.copies) {
        tracing::warn!(copy, "a damaged segment was copied");
    }
    tracing::warn!(epoch = %log.epoch(), head = %log.head(), "a new epoch begins");
    Ok(log)
}

/// Reads the whole log of a data directory without changing it; `None` if there is no log.
///
/// # Errors
/// The log is in use, cannot be read, or cannot be repaired.
pub fn verify(data: &Path) -> Result<Option<Survey>, StartError> {
    let Some((storage, views)) = take(data)? else { return Ok(None) };
    Ok(Survey::of(&storage, views)?)
}

/// Reads the log of a data directory, without changing it, while no server uses it; `None` if there is no log. No server can use
/// it as long as the reader exists.
///
/// # Errors
/// The log is in use, damaged, or cannot be read.
pub fn reader(data: &Path) -> Result<Option<(LogReader, Epochs)>, StartError> {
    let dir = log_dir(data);
    if !dir.is_dir() {
        return Ok(None);
    }
    let storage = Arc::new(DirStorage::open(&dir)?);
    let opening = Opening::read(storage, Identity::random()?, LogOptions::default())?;
    let epochs = opening.epochs();
    Ok(opening.into_reader().map(|reader| (reader, epochs)))
}

/// Like [`reader`], with the recorded calls that ended up to a position. What is missing of the history is made, as a server does.
///
/// # Errors
/// As for [`reader`]; the history cannot be made.
pub fn recordings(data: &Path, host: Arc<Host>, through: Position) -> Result<Option<Recordings>, StartError> {
    let dir = log_dir(data);
    if !dir.is_dir() {
        return Ok(None);
    }
    let opening = Opening::read(Arc::new(DirStorage::open(&dir)?), Identity::random()?, LogOptions::default())?;
    let (epochs, hasher) = (Arc::new(opening.epochs()), opening.key_hasher());
    let Some(log) = opening.into_reader() else { return Ok(None) };
    let history = history(data, &(log, Arc::clone(&epochs), hasher));
    let has_room = |_: u64| true;
    while !matches!(history.make_next(&has_room)?, Made::Nothing | Made::NoRoom) {}
    Ok(Some(Recordings::new(history.look(), epochs, host, through)))
}

/// Repairs the log of a data directory; `None` if nothing has to be repaired. `even_if_sound`: begins a new epoch even then.
///
/// # Errors
/// The log is in use, or cannot be read or written.
pub fn repair(data: &Path, even_if_sound: bool, at_ms: u64) -> Result<Option<Repaired>, StartError> {
    let Some((storage, views)) = take(data)? else { return Ok(None) };
    remove_derived(data)?;
    let epoch = random_epoch()?;
    Ok(weirgate_log::repair(&storage, &Repair { views, epoch, at_ms, even_if_sound })?)
}

/// Locks the log against every server, and reads what the views know of it.
fn take(data: &Path) -> Result<Option<(DirStorage, Option<Known>)>, StartError> {
    let dir = log_dir(data);
    if !dir.is_dir() {
        return Ok(None);
    }
    let storage = DirStorage::open(&dir)?;
    let views = Views::applied_in(&views_dir(data), TABLES, &ViewOptions::default())?;
    Ok(Some((storage, views)))
}
