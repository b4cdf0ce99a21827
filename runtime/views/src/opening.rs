//! Opening views: what is there, whether it is of this log, whether it can be believed, and whether it knows more than the log
//! has.

use weirgate_types::{Epochs, Position};

use crate::{
    ViewError, ViewOptions,
    directory::{Distrust, Place, Trust},
    disk::{About, Disk, Found, Origin},
};

/// Make empty views. Until they are whole the place says that they are not.
pub fn begin(place: &Place, options: &ViewOptions) -> Result<Disk, ViewError> {
    place.mark_begun()?;
    let disk = Disk::open(&place.files(), options.cache_bytes)?;
    place.mark_open()?;
    Ok(disk)
}

pub type Opened = (Disk, Position);

/// Open what is there, `None` where nothing is; the inner error says why it cannot be used.
pub fn open_old(
    place: &Place,
    log: (&Epochs, Position),
    options: &ViewOptions,
) -> Result<Result<Option<Opened>, Distrust>, ViewError> {
    let trust = match place.judge() {
        Ok(Trust::Nothing) => return Ok(Ok(None)),
        Ok(trust) => trust,
        Err(reason) => return Ok(Err(reason)),
    };
    if trust == Trust::Sound {
        place.mark_open()?;
    }
    let opened = Disk::open(&place.files(), options.cache_bytes).and_then(|disk| Ok((disk.found()?, disk)));
    let (disk, about) = match opened {
        Err(ViewError::Full(_)) => return Ok(Err(Distrust::Full)),
        Err(_) | Ok((Found::Nothing, _)) if trust == Trust::Unsure => return Ok(Err(Distrust::PowerCut)),
        Err(error) => return Ok(Err(Distrust::Damage(error.to_string()))),
        Ok((Found::Nothing, disk)) => return Ok(Ok(Some((disk, Position::ZERO)))),
        Ok((Found::Unknown, _)) => return Ok(Err(Distrust::Damage("they do not say what they are of".into()))),
        Ok((Found::Views(about), disk)) => (disk, about),
    };
    if let Some(reason) = compare(about, log)? {
        return Ok(Err(reason));
    }
    if trust == Trust::Unsure {
        // Until they are known to be whole, the state goes on saying that they may not be.
        if !disk.is_whole().unwrap_or(false) {
            return Ok(Err(Distrust::PowerCut));
        }
        tracing::info!(applied = about.applied.0, "the views are intact after a power cut");
        place.mark_open()?;
    }
    Ok(Ok(Some((disk, about.applied))))
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
