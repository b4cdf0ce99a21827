//! Opening views: whether there are any, whether they belong to this log, whether they can be trusted, and whether they are
//! ahead of the log.

use weirgate_types::{Epochs, Known, Position};

use crate::{
    about::{About, Found, Origin},
    directory::{Directory, Distrust, Trust},
    error::ViewError,
    options::ViewOptions,
    sled_store::SledStore,
    table::Tables,
};

/// How the views are opened.
pub struct Opening<'a> {
    pub directory: &'a Directory,
    pub tables: Tables,
    /// What the log is, and where it ends.
    pub log: (&'a Epochs, Position),
    pub options: &'a ViewOptions,
}

type Opened = (SledStore, Position);

/// How far the views in a directory have applied their log; none where there are none, or none that can be read.
pub fn applied_in(directory: &Directory, tables: Tables, options: &ViewOptions) -> Option<Known> {
    if !matches!(directory.judge(), Ok(Trust::Sound | Trust::Unsure)) {
        return None;
    }
    let opened = SledStore::open(&directory.files(), tables, options.cache_bytes);
    match opened.and_then(|store| store.found()) {
        Ok(Found::Views(about)) => Some(about.known()),
        _ => None,
    }
}

impl Opening<'_> {
    /// Open what is there, or begin empty views.
    pub fn open(&self) -> Result<Opened, ViewError> {
        let (store, applied) = match self.open_old()? {
            Ok(Some(opened)) => opened,
            Ok(None) => (self.begin()?, Position::ZERO),
            Err(reason) => {
                self.directory.clear(&reason)?;
                (self.begin()?, Position::ZERO)
            }
        };
        if applied == Position::ZERO {
            store.begin(Origin::of(self.log.0))?;
        }
        Ok((store, applied))
    }

    /// Make empty views. Until they are whole the directory's state says that they are not.
    fn begin(&self) -> Result<SledStore, ViewError> {
        self.directory.mark_begun()?;
        let store = self.store()?;
        self.directory.mark_open()?;
        Ok(store)
    }

    fn store(&self) -> Result<SledStore, ViewError> {
        SledStore::open(&self.directory.files(), self.tables, self.options.cache_bytes)
    }

    /// Opens existing views, `None` if there are none; the inner error says why they cannot be used.
    fn open_old(&self) -> Result<Result<Option<Opened>, Distrust>, ViewError> {
        let trust = match self.directory.judge() {
            Ok(Trust::Nothing) => return Ok(Ok(None)),
            Ok(trust) => trust,
            Err(reason) => return Ok(Err(reason)),
        };
        if trust == Trust::Sound {
            self.directory.mark_open()?;
        }
        let opened = self.store().and_then(|store| Ok((store.found()?, store)));
        let (store, about) = match opened {
            Err(ViewError::Full(_)) => return Ok(Err(Distrust::Full)),
            Err(_) | Ok((Found::Nothing, _)) if trust == Trust::Unsure => return Ok(Err(Distrust::PowerCut)),
            Err(error) => return Ok(Err(Distrust::Damage(error.to_string()))),
            Ok((Found::Nothing, store)) => return Ok(Ok(Some((store, Position::ZERO)))),
            Ok((Found::Unknown, _)) => return Ok(Err(Distrust::Damage("they do not say what they are of".into()))),
            Ok((Found::Views(about), store)) => (store, about),
        };
        if let Some(reason) = compare(about, self.log)? {
            return Ok(Err(reason));
        }
        if trust == Trust::Unsure {
            // Until they are known to be whole, the directory state says that they may not be.
            if !store.is_whole().unwrap_or(false) {
                return Ok(Err(Distrust::PowerCut));
            }
            tracing::info!(applied = about.applied.0, "the views are intact after a power cut");
            self.directory.mark_open()?;
        }
        Ok(Ok(Some((store, about.applied))))
    }
}

/// Why views cannot be used with a log, if they cannot.
fn compare(about: About, (log, head): (&Epochs, Position)) -> Result<Option<Distrust>, ViewError> {
    let Origin { log: id, epoch } = about.origin;
    if id != log.first() {
        return Ok(Some(Distrust::Damage(format!("they are of another log, {id}"))));
    }
    // Of an epoch that this log never had: the log has lost it.
    if !log.hold(epoch) || (epoch == log.current() && about.applied > head) {
        return Err(ViewError::Ahead(about.known()));
    }
    let is_earlier = epoch != log.current();
    Ok(is_earlier.then(|| Distrust::Damage(format!("they are of an earlier epoch of this log, {epoch}"))))
}
