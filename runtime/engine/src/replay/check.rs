//! The check before a deployment: the last recorded attempts of a handler are executed again with a candidate, and compared.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_host::CallError;
use weirgate_types::{Commit, FailureKind, HandlerName, Position};

use super::{
    Difference, Differs, Pace, Part, Recorded, Recording, Recordings, ReplayError,
    compare::{Repeated, differences},
    execute::{CallInput, Executable, ItemInput},
    memory::{MemoryCalls, MemoryState, StateView},
};

/// Maximum number of differences that are kept, and the bytes of their texts; the others are counted.
const DIFFERENCES_KEPT_MAX: usize = 100;
const DIFFERENCES_BYTES_MAX: usize = 1 << 20;
/// Maximum number of keys that are named because their migration failed.
const MIGRATIONS_KEPT_MAX: usize = 100;
/// Maximum number of bytes of events, state and answers that are read.
const INPUT_BYTES_MAX: usize = 256 << 20;

/// The result of a check.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Attempts that were executed again.
    pub executed: u64,
    /// Those that came to another result.
    pub different: u64,
    /// How many of them differ in each part.
    pub by_part: BTreeMap<Part, u64>,
    /// The newest of them.
    pub differences: Vec<Difference>,
    /// Attempts for which the candidate migrated the key's state first, and the keys of which that failed, with the newest message.
    pub migrated: u64,
    pub migrations_failed: BTreeMap<String, String>,
    pub left_out: LeftOut,
    /// The oldest record that was looked at; `None`: there was none.
    pub oldest: Option<Position>,
    /// Whether its time or its bytes were used up before all were executed.
    pub is_cut: bool,
}

/// Attempts that were not executed again, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Ended by time, by a stop or by a lack of memory.
    pub not_reproducible: u64,
    /// They may have read what a record wrote that was lost since.
    pub of_lost_inputs: u64,
    /// They were a batch, and the candidate takes single deliveries.
    pub of_batches: u64,
    /// Their keys have too many records since their events.
    pub too_far_back: u64,
}

/// Executes the last attempts of a handler again, the newest first, at least `sample` of them as far as the log has them.
///
/// # Errors
/// The log or the history cannot be read, or the host cannot execute the candidate.
pub fn check(
    recordings: &mut Recordings,
    candidate: &Executable,
    (handler, sample): (&HandlerName, usize),
    pace: &mut Pace,
) -> Result<Checked, ReplayError> {
    let (mut checked, mut looked_at, mut bytes) = (Checked::default(), 0, 0);
    for position in recordings.last_commits(handler, sample)?.into_iter().rev() {
        for recording in recordings.at(position, Some(handler))? {
            if looked_at >= sample {
                return Ok(checked);
            }
            if bytes >= INPUT_BYTES_MAX || !pace.go_on() {
                checked.is_cut = true;
                return Ok(checked);
            }
            checked.oldest = Some(position);
            match recording {
                Recording::Call(recorded) => {
                    looked_at += recorded.call.len();
                    bytes += checked.execute(recordings, candidate, &recorded, pace)?;
                }
                Recording::NotEnded => {}
                Recording::TooFar(_) => {
                    looked_at += 1;
                    checked.left_out.too_far_back += 1;
                }
            }
        }
    }
    Ok(checked)
}

impl Checked {
    /// Returns the number of bytes that were read for it.
    fn execute(
        &mut self,
        recordings: &Recordings,
        candidate: &Executable,
        recorded: &Recorded,
        pace: &Pace,
    ) -> Result<usize, ReplayError> {
        let attempts = recorded.commits.iter().flatten().count() as u64;
        if recorded.may_lack_inputs {
            self.left_out.of_lost_inputs += attempts;
            return Ok(0);
        }
        let Some(commits) = recorded.reproducible() else {
            self.left_out.not_reproducible += attempts;
            return Ok(0);
        };
        if commits.len() > 1 && !candidate.is_batch() {
            self.left_out.of_batches += attempts;
            return Ok(0);
        }
        let mut inputs = recordings.input(recorded)?;
        let mut items = Vec::new();
        for (ended, commit) in recorded.call.iter().zip(&commits) {
            let state = recordings.inputs.state(&ended.begun, commit).views()?;
            items.push((state, recordings.inputs.memory_calls(&ended.begun)?.in_any_order()));
        }
        let bytes = inputs.items.iter().map(|item| item.event.data.len()).sum::<usize>()
            + items.iter().map(|(state, _)| state.iter().map(StateView::bytes).sum::<usize>()).sum::<usize>();
        migrate(&mut inputs, &commits, &items, candidate.state_version);
        let execution = candidate.execute_for(&pace.processor(), &inputs, |index| {
            let (state, calls) = items.get(index).ok_or(ReplayError::NoItem(index))?;
            Ok((Box::new(MemoryState::new(state)), Box::new(calls.clone())))
        })?;
        if pace.is_cancelled() {
            return Ok(bytes);
        }
        let ended = recorded.call.iter().zip(&inputs.items).zip(&commits).zip(&items).zip(execution.repeated);
        for ((((ended, item), commit), (_, calls)), repeated) in ended {
            self.executed += 1;
            self.count_migration(item, &repeated);
            let mut parts = compared(commit, calls, repeated);
            // The state has another form.
            parts.retain(|differs| item.migrate_from.is_none() || differs.part != Part::State);
            if !parts.is_empty() {
                self.differs(Difference {
                    delivery: ended.begun.delivery.clone(),
                    attempt: commit.attempt,
                    commit: ended.commit.unwrap_or_default(),
                    digest: commit.digest,
                    parts,
                });
            }
        }
        Ok(bytes)
    }

    fn count_migration(&mut self, item: &ItemInput<'_>, repeated: &Repeated) {
        if item.migrate_from.is_none() {
            return;
        }
        self.migrated += 1;
        if let Err(CallError::Failed(failure)) = &repeated.result
            && failure.kind == FailureKind::Migration
            && self.migrations_failed.len() < MIGRATIONS_KEPT_MAX
        {
            self.migrations_failed.entry(item.event.key().to_owned()).or_insert_with(|| failure.message.clone());
        }
    }

    fn differs(&mut self, found: Difference) {
        self.different += 1;
        for differs in &found.parts {
            *self.by_part.entry(differs.part).or_default() += 1;
        }
        let bytes = |one: &Difference| one.parts.iter().map(|part| part.recorded.len() + part.now.len()).sum::<usize>();
        let kept: usize = self.differences.iter().map(bytes).sum();
        if self.differences.len() < DIFFERENCES_KEPT_MAX && kept + bytes(&found) <= DIFFERENCES_BYTES_MAX {
            self.differences.push(found);
        }
    }
}

/// Keys whose state has an earlier version than the candidate's are migrated by their first item, as their first delivery under it
/// would.
fn migrate<T>(inputs: &mut CallInput<'_>, commits: &[Commit], items: &[(Vec<StateView>, T)], wanted: u32) {
    let mut keys = BTreeSet::new();
    for ((item, commit), (state, _)) in inputs.items.iter_mut().zip(commits).zip(items) {
        let had = commit.migrated_from.unwrap_or(commit.state_version);
        let has_state = state.iter().any(|view| !view.values.is_empty());
        let is_first = keys.insert(item.event.key().to_owned());
        item.migrate_from = (is_first && has_state && had != 0 && had < wanted).then_some(had);
    }
}

/// What the candidate does otherwise. A call that is not recorded ends the attempt: what would follow is not known.
fn compared(commit: &Commit, calls: &MemoryCalls, repeated: Repeated) -> Vec<Differs> {
    let (made, left) = calls.names();
    if let Err(CallError::Unrecorded(step)) = &repeated.result {
        let recorded = made.iter().chain(&left).cloned().collect::<Vec<_>>().join(", ");
        return vec![Differs { part: Part::Calls, recorded, now: format!("another call: {step}") }];
    }
    let mut parts = differences(&commit.into(), &repeated.into());
    if !left.is_empty() {
        let recorded = made.iter().chain(&left).cloned().collect::<Vec<_>>().join(", ");
        parts.push(Differs { part: Part::Calls, recorded, now: format!("without {}", left.join(", ")) });
    }
    parts
}
