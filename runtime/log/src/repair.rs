//! Repairs a damaged log so that it opens again, and gives up unreadable records: always the operator's decision.
//!
//! Every position stays used. A [`Lost`] record covers the positions of lost records, so all later records are kept and no
//! position is used again. A new epoch begins behind the last position. Each damaged segment is copied aside, then replaced
//! as a whole. The new epoch's segment is created first: if a repair is interrupted, the log does not open until the repair
//! has been run again.

use weirgate_types::{Lost, Position, Record};

use crate::{
    Epoch, Finding, Identity, Known, LogError, Storage, Survey,
    batch::Batch,
    format::{Checks, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    note::Note,
    salvage::Part,
    seal::unseal,
    sources::read_whole,
    survey::Pieces,
};

const TEMPORARY: &str = "repair.tmp";

/// The input of a repair.
#[derive(Debug, Clone, Copy)]
pub struct Repair {
    /// The views' applied position, if there are views: the records up to there were durable.
    pub views: Option<Known>,
    /// The new epoch.
    pub epoch: Epoch,
    pub at_ms: u64,
    /// Begin the new epoch even if nothing is damaged: a log restored from a backup looks sound.
    pub even_if_sound: bool,
}

/// The result of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    pub findings: Vec<Finding>,
    /// Unchanged copies of the replaced segments, beside the segments.
    pub copies: Vec<String>,
    pub epoch: Epoch,
    /// The last position, which is also the last one of the earlier epochs.
    pub head: Position,
}

/// Repairs the log in `storage`; `None` if nothing has to be repaired.
///
/// # Errors
/// As [`Survey::of`]; [`LogError::Io`]: run it again.
pub fn repair(storage: &dyn Storage, how: &Repair) -> Result<Option<Repaired>, LogError> {
    let Some(mut survey) = Survey::of(storage, how.views)? else { return Ok(None) };
    let is_damaged = survey.findings.iter().any(Finding::is_damage);
    if !is_damaged && !how.even_if_sound {
        return Ok(None);
    }
    if let Some(last) = survey.pieces.last_mut().filter(|_| survey.torn.is_some()) {
        // A segment will follow, so the last batch has to end this one.
        last.damaged = true;
    }
    let Survey { salt, next, .. } = survey;
    if let Some(name) = &survey.unborn {
        storage.remove(name).map_err(LogError::io("removing", name))?;
    }
    let mut copies = Vec::new();
    if let Some(empty) = survey.pieces.pop_if(|last| last.header.first == next) {
        copies.extend(copy_aside(storage, &empty)?);
    }
    let header = SegmentHeader { identity: Identity { epoch: how.epoch, salt }, first: next };
    replace(storage, next, &header.encode())?;
    for pieces in survey.pieces.iter().filter(|pieces| pieces.damaged) {
        copies.extend(copy_aside(storage, pieces)?);
        replace(storage, pieces.header.first, &rebuilt(storage, Checks::of(salt), pieces, how.at_ms)?)?;
    }
    let note = Note { log: survey.epochs.first(), epoch: how.epoch, head: next.before() };
    storage.note(&note.encode()).map_err(LogError::io("writing", "the note of the durable head"))?;
    Ok(Some(Repaired { findings: survey.findings, copies, epoch: how.epoch, head: next.before() }))
}

/// Copies a damaged segment to a free name.
fn copy_aside(storage: &dyn Storage, pieces: &Pieces) -> Result<Option<String>, LogError> {
    if !pieces.damaged || pieces.size == 0 {
        return Ok(None);
    }
    let names = storage.list().map_err(LogError::io("listing", "the segments"))?;
    let name = segment_name(pieces.header.first);
    let mut number = 1;
    while names.contains(&format!("{name}.damaged-{number}")) {
        number += 1;
    }
    let copy = format!("{name}.damaged-{number}");
    write(storage, &copy, &read_whole(storage, &name)?)?;
    storage.sync_dir().map_err(LogError::io("syncing the folder of", &copy))?;
    Ok(Some(copy))
}

/// Puts a segment in place of the one with its name, if there is one, atomically. Its seal is of the other one.
fn replace(storage: &dyn Storage, first: Position, bytes: &[u8]) -> Result<(), LogError> {
    let name = &segment_name(first);
    unseal(storage, first).map_err(LogError::io("removing the seal of", name))?;
    let names = storage.list().map_err(LogError::io("listing", "the segments"))?;
    if names.iter().any(|name| name == TEMPORARY) {
        storage.remove(TEMPORARY).map_err(LogError::io("removing", TEMPORARY))?;
    }
    write(storage, TEMPORARY, bytes)?;
    storage.replace(TEMPORARY, name).map_err(LogError::io("replacing", name))?;
    storage.sync_dir().map_err(LogError::io("syncing the folder of", name))
}

fn write(storage: &dyn Storage, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    let file = storage.create(name).map_err(LogError::io("creating", name))?;
    file.write_at(bytes, 0).map_err(LogError::io("writing", name))?;
    file.sync_data().map_err(LogError::io("syncing", name))
}

/// A segment's repaired bytes.
fn rebuilt(storage: &dyn Storage, checks: Checks, pieces: &Pieces, at_ms: u64) -> Result<Vec<u8>, LogError> {
    let name = segment_name(pieces.header.first);
    let bytes = if pieces.size == 0 { Vec::new() } else { read_whole(storage, &name)? };
    let mut out = Vec::with_capacity(bytes.len().max(SEGMENT_HEADER_BYTES));
    out.extend(pieces.header.encode());
    for part in &pieces.parts {
        match part {
            Part::Sound { from, to } => out.extend_from_slice(bytes.get(*from..*to).unwrap_or_default()),
            Part::Kept { first, from, to, width } => {
                let mut batch = Batch::new(checks, *first);
                batch.push_encoded(bytes.get(*from..*to).unwrap_or_default(), *width);
                out.extend_from_slice(batch.finish());
            }
            Part::Lost { first, last } => fill(checks, (*first, *last), at_ms, &mut out)?,
        }
    }
    Ok(out)
}

/// Batches that cover the positions of lost records.
fn fill(checks: Checks, (first, last): (Position, Position), at_ms: u64, out: &mut Vec<u8>) -> Result<(), LogError> {
    let mut next = first;
    while next <= last {
        let positions = u32::try_from(last.0 - next.0 + 1).unwrap_or(u32::MAX);
        let mut batch = Batch::new(checks, next);
        batch.push(&Record::Lost(Lost { positions, at_ms }), usize::MAX)?;
        out.extend_from_slice(batch.finish());
        next = batch.next();
    }
    Ok(())
}
