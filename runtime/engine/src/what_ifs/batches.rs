//! Repairs the keys of a handler that takes batches: what comes of a key depends on the others of its calls, so all keys are looked at
//! together, in rounds, and each is repaired that has not changed since.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{HandlerName, Manifest, Position, Record};

use super::{
    apply::{Applying, Ends, KeyEnd, MORE_IS_LEFT, is_busy, is_of_key},
    looks::Looks,
    repair::Part,
};
use crate::{
    StorageError,
    replay::{Folding, LaneId, ReplayError},
};

/// How often the keys are looked at again that change meanwhile, or whose repair has several records.
const ROUNDS_MAX: u32 = 20;
/// How many records of the handler are asked for at once.
const PAGE: usize = 1_024;

impl Applying<'_> {
    /// Whether a version of a handler takes batches, or took them.
    pub fn takes_batches(&self, handler: &HandlerName) -> Result<bool, ReplayError> {
        let (sources, mut after) = (self.sources()?, Position::ZERO);
        loop {
            let page = sources.look.of_handler(handler, after, PAGE)?;
            for position in &page {
                let read = sources.look.log().read(*position).map_err(StorageError::from)?;
                if read.is_some_and(|(_, record)| is_of_batches(&record, handler)) {
                    return Ok(true);
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = *last,
                _ => return Ok(false),
            }
        }
    }

    pub fn batched(&self, lanes: Vec<LaneId>, ends: &mut Ends) -> Result<(), ReplayError> {
        let mut begun = BTreeSet::new();
        let mut left: BTreeMap<LaneId, KeyEnd> = lanes.into_iter().map(|lane| (lane, KeyEnd::Nothing)).collect();
        let mut looks = Looks::new(Folding::of_all(self.id.replay, self.request, None));
        for round in 0..ROUNDS_MAX {
            for lane in std::mem::take(&mut left).into_keys() {
                let end = match self.own_part(&lane, &mut looks, round) {
                    Ok(Part::More) => {
                        begun.insert(lane.clone());
                        left.insert(lane, KeyEnd::Refused(MORE_IS_LEFT.to_owned()));
                        continue;
                    }
                    Ok(Part::Nothing) if !begun.contains(&lane) => KeyEnd::Nothing,
                    Ok(Part::Nothing | Part::Whole) => KeyEnd::Repaired,
                    Ok(Part::Refused(reason)) => KeyEnd::Refused(reason),
                    Ok(Part::Waits(reason)) => KeyEnd::Refused(format!("{reason}; apply again when it is closed")),
                    // It changed meanwhile, or took too long.
                    Err(ReplayError::Refused(refusal)) if is_busy(&refusal) => {
                        left.insert(lane, KeyEnd::Refused(refusal.to_string()));
                        continue;
                    }
                    Err(ReplayError::Refused(refusal)) if is_of_key(&refusal) => KeyEnd::Refused(refusal.to_string()),
                    Err(error) => return Err(error),
                };
                self.note(ends, lane, &end);
            }
        }
        for (lane, end) in left {
            self.note(ends, lane, &end);
        }
        Ok(())
    }
}

fn is_of_batches(record: &Record, handler: &HandlerName) -> bool {
    let Record::Deployed(deployed) = record else { return false };
    let manifest = Manifest::from_record(&deployed.manifest);
    deployed.handler == *handler && manifest.is_ok_and(|manifest| manifest.batch.is_some())
}
