//! Verification: attempts are executed again, and compared with what the log holds.

use std::{collections::BTreeMap, sync::Arc};

use weirgate_host::Host;
use weirgate_log::LogReader;
use weirgate_types::{Correction, DeliveryCommand, DeliveryId, Digest, Epochs, Position, Record};

use super::{
    Pace, Recorded, Recording, Recordings, ReplayError,
    attempts::EndedCall,
    compare::{Differs, correction_difference, differences},
    inputs::Inputs,
    walk::{Visit, Walk},
};
use crate::StorageError;

/// Maximum number of differences that are kept; the others are counted.
const DIFFERENCES_KEPT_MAX: usize = 100;

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Attempts that were executed again.
    pub executed: u64,
    /// Attempts recorded as not reproducible: ended by time, by a stop or by a lack of memory.
    pub not_reproducible: u64,
    /// Attempts that may have read what a record wrote that was lost since.
    pub of_lost_inputs: u64,
    /// Attempts whose module is not there any more.
    pub without_module: u64,
    /// Attempts that were not found: their keys have too many records since their events.
    pub too_far_back: u64,
    /// Attempts that differ.
    pub different: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// An attempt that came to another result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub delivery: DeliveryId,
    pub attempt: u32,
    /// The record of its commit.
    pub commit: Position,
    pub digest: Digest,
    pub parts: Vec<Differs>,
}

/// Executes all attempts again whose commits lie in `after + 1 ..= through`. Reads the log from its beginning.
///
/// # Errors
/// The log cannot be read, a module cannot be loaded, or the host cannot execute it.
pub fn verify(
    log: (LogReader, Epochs),
    host: Arc<Host>,
    after: Position,
    through: Position,
) -> Result<Verified, ReplayError> {
    let mut verification = Verification::new(after);
    Walk::new(log, host).run(through, &mut verification)?;
    Ok(verification.result)
}

/// The same, for a part of the log: what is before it is looked up where it is needed. Also returns the position up to which it came:
/// it ends early when its pace says so.
///
/// # Errors
/// As for [`verify`]; the history cannot be read.
pub fn verify_range(
    recordings: &mut Recordings,
    after: Position,
    through: Position,
    pace: &mut Pace,
) -> Result<(Verified, Position), ReplayError> {
    let mut verification = Verification::new(after);
    let mut reached = after;
    let log = recordings.inputs.log().clone();
    for read in log.scan(after.next()) {
        let (position, record) = read.map_err(StorageError::from)?;
        if position > through || !pace.go_on() {
            break;
        }
        verification.record(&record);
        let found = if record.commits().is_empty() || position <= after {
            Vec::new()
        } else {
            recordings.at(position, None)?
        };
        for recording in found {
            match recording {
                Recording::Call(recorded) => verification.examine(&mut recordings.inputs, &recorded)?,
                Recording::NotEnded => {}
                Recording::TooFar(_) => verification.result.too_far_back += 1,
            }
        }
        reached = position.plus(record.width()).before();
    }
    Ok((verification.result, reached))
}

struct Verification {
    after: Position,
    /// Corrections that the hook of an executed attempt made; the record of it may follow.
    corrected: BTreeMap<DeliveryId, (Difference, Correction)>,
    result: Verified,
}

impl Visit for Verification {
    /// The decision that a hook's correction led to follows its attempt's commit, unless another correction came first.
    fn record(&mut self, record: &Record) {
        let Record::DeliveryDecided(decided) = record else { return };
        let Some((found, now)) = self.corrected.remove(&decided.delivery) else { return };
        let DeliveryCommand::Correct(recorded) = &decided.command else { return };
        if decided.actor == weirgate_core::HOOK
            && let Some(part) = correction_difference(recorded, &now)
        {
            self.differs(Difference { parts: vec![part], ..found });
        }
    }

    fn call(&mut self, walk: &mut Walk, _: Position, call: &EndedCall) -> Result<(), ReplayError> {
        if call.iter().filter_map(|ended| ended.commit).max().is_none_or(|last| last <= self.after) {
            return Ok(());
        }
        let commits = call.iter().map(|ended| walk.commit(ended)).collect::<Result<Vec<_>, _>>()?;
        let may_lack_inputs = walk.may_lack_inputs(call);
        self.examine(&mut walk.inputs, &Recorded { call: call.clone(), commits, may_lack_inputs })
    }
}

impl Verification {
    fn new(after: Position) -> Self {
        Self { after, corrected: BTreeMap::new(), result: Verified::default() }
    }

    fn examine(&mut self, inputs: &mut Inputs, recorded: &Recorded) -> Result<(), ReplayError> {
        let Recorded { call, commits, may_lack_inputs } = recorded;
        let attempts = commits.iter().flatten().count() as u64;
        if *may_lack_inputs {
            self.result.of_lost_inputs += attempts;
            return Ok(());
        }
        let (Some(commits), Some(first)) = (recorded.reproducible(), call.first()) else {
            self.result.not_reproducible += attempts;
            return Ok(());
        };
        let deployment = inputs.deployment(first.begun.version)?;
        let Some(executable) = &deployment.executable else {
            self.result.without_module += attempts;
            return Ok(());
        };
        let begun = |index: usize| call.get(index).map(|ended| &ended.begun).zip(commits.get(index));
        let input = inputs.call(call, commits.iter().map(Some))?;
        let (repeated, correction) = executable.execute(&input, |index| {
            begun(index).map_or(Err(ReplayError::NoItem(index)), |(begun, commit)| inputs.services(begun, commit))
        })?;
        self.result.executed += attempts;
        for ((ended, commit), repeated) in call.iter().zip(&commits).zip(repeated) {
            let found = Difference {
                delivery: ended.begun.delivery.clone(),
                attempt: commit.attempt,
                commit: ended.commit.unwrap_or_default(),
                digest: commit.digest,
                parts: differences(&commit.into(), &repeated.into()),
            };
            if !found.parts.is_empty() {
                self.differs(found);
            } else if let Some(correction) = correction.clone() {
                self.corrected.insert(found.delivery.clone(), (found, correction));
            }
        }
        Ok(())
    }

    fn differs(&mut self, found: Difference) {
        self.result.different += 1;
        if self.result.differences.len() < DIFFERENCES_KEPT_MAX {
            self.result.differences.push(found);
        }
    }
}
