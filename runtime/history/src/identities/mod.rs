//! The index of identities: at which position of the log an event with a `source` and `id` was accepted. Sorted runs on disk, each of
//! a part of the log, and in memory what was accepted since; neighbouring runs are merged, so that there are few. An identity that
//! was never accepted is not looked for on disk: the filters of all runs are in memory.
//!
//! Everything up to the floor is forgotten. Knows no clock: its caller says where the floor is.

mod generation;
mod hash;
mod plan;
mod rebuild;
mod run;

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use parking_lot::{Mutex, RwLock};
use weirgate_log::{Epochs, LogReader, Storage};
use weirgate_types::Position;

use crate::{HistoryError, merge::Merge, row::Row, table::TableError};
use generation::Generation;
pub use hash::IdentityHash;
use plan::Span;
use rebuild::Complete;
use run::{Folder, Run};

/// So few that the index of a log of ordinary size is looked up in a handful of runs.
const FAN: usize = 4;
/// Maximum number of rows of a merged run: larger tables have no filter.
const ROWS_MAX: u64 = 1 << 22;
/// A generation is complete at this many times as many positions as identities, so that a start has little to read again.
const POSITIONS_EACH: u64 = 8;
/// Maximum number of generations that wait for a run, before no event may be accepted.
const WAITING_MAX: usize = 8;

/// How much a generation and a run hold: small in simulations.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Number of identities after which a generation is complete. Together with those that wait, they are what a start reads again.
    pub generation: usize,
    /// Maximum number of identities that are sorted at once where many are missing.
    pub bulk: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        // Runs of the largest size that has a filter are merged of 64 generations, or four bulks.
        Self { generation: 60_000, bulk: 1_000_000 }
    }
}

/// What the index knows of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The newest position where it was accepted, if that is not forgotten.
    pub position: Option<Position>,
    /// Everything up to here was considered.
    pub as_of: Position,
}

/// What [`Identities::make_next`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A run was written.
    Wrote,
    /// Runs were merged.
    Merged,
    /// There is nothing to do.
    Nothing,
}

/// See the module documentation. One thread appends, one makes runs, any number look up.
pub struct Identities {
    folder: Folder,
    log: LogReader,
    sizes: Sizes,
    state: RwLock<State>,
    /// Held while runs are made.
    making: Mutex<()>,
}

struct State {
    floor: Position,
    open: Generation,
    /// Complete generations that wait for a run, oldest first.
    waiting: VecDeque<Arc<Generation>>,
    /// Oldest first.
    runs: Vec<Arc<Run>>,
}

impl Identities {
    /// The index in a folder, brought up to the log's head: what is missing is read from the log.
    ///
    /// # Errors
    /// The folder or the log cannot be read, or runs cannot be written.
    pub fn open(
        storage: Arc<dyn Storage>,
        log: &LogReader,
        epochs: Arc<Epochs>,
        floor: Position,
        sizes: Sizes,
    ) -> Result<Self, HistoryError> {
        let folder = Folder { storage, epochs };
        let Complete { runs, waiting, open } = rebuild::complete(&folder, log, floor, sizes)?;
        let waiting = waiting.into_iter().map(Arc::new).collect();
        let state = RwLock::new(State { floor, open, waiting, runs });
        Ok(Self { folder, log: log.clone(), sizes, state, making: Mutex::new(()) })
    }

    /// Everything up to here is in the index.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.state.read().open.last
    }

    /// What it knows of an identity.
    ///
    /// # Errors
    /// [`HistoryError::NotReady`]: the run that may hold it cannot be read, until it has been made again.
    pub fn look_up(&self, identity: IdentityHash) -> Result<Answer, HistoryError> {
        let (floor, as_of, found, runs) = {
            let state = self.state.read();
            let found = state.in_memory(identity);
            // The runs belong to exactly these generations.
            let runs = if found.is_some() { Vec::new() } else { state.runs.clone() };
            (state.floor, state.open.last, found, runs)
        };
        let mut position = found;
        for run in runs.iter().rev().take_while(|run| run.span.last > floor) {
            if position.is_some() {
                break;
            }
            if run.is_damaged() && run.may_hold(identity) {
                return Err(not_ready(&runs));
            }
            position = run.get(identity).map_err(|error| {
                found_damaged(run, &error);
                not_ready(&runs)
            })?;
        }
        Ok(Answer { position: position.filter(|position| *position > floor), as_of })
    }

    /// The same, if no file has to be read for it: so for nearly every identity that was never accepted, and for recent ones.
    #[must_use]
    pub fn look_up_in_memory(&self, identity: IdentityHash) -> Option<Answer> {
        let state = self.state.read();
        let position = state.in_memory(identity);
        if position.is_none() && state.runs.iter().any(|run| run.may_hold(identity)) {
            return None;
        }
        Some(Answer { position: position.filter(|position| *position > state.floor), as_of: state.open.last })
    }

    /// An earlier answer, with what was accepted since.
    ///
    /// # Errors
    /// As for [`Identities::look_up`].
    pub fn renew(&self, identity: IdentityHash, earlier: Answer) -> Result<Answer, HistoryError> {
        let state = self.state.read();
        if earlier.as_of < state.memory_base() {
            drop(state);
            return self.look_up(identity);
        }
        let position = state.in_memory(identity).or(earlier.position);
        Ok(Answer { position: position.filter(|position| *position > state.floor), as_of: state.open.last })
    }

    /// Adds what was accepted in the records up to `through`, which are durable. Returns whether a generation is complete: then there is
    /// a run to make.
    pub fn append(&self, accepted: impl IntoIterator<Item = (IdentityHash, Position)>, through: Position) -> bool {
        let mut state = self.state.write();
        for (identity, position) in accepted {
            state.open.insert(identity, position);
        }
        state.open.last = state.open.last.max(through);
        let positions_max = (self.sizes.generation as u64).saturating_mul(POSITIONS_EACH);
        let is_complete = state.open.len() >= self.sizes.generation || state.open.positions() >= positions_max;
        if is_complete {
            let next = Generation::new(state.open.last);
            let complete = std::mem::replace(&mut state.open, next);
            state.waiting.push_back(Arc::new(complete));
        }
        is_complete
    }

    /// Whether so many generations wait for a run that nothing more should be accepted.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.state.read().waiting.len() >= WAITING_MAX
    }

    /// Forgets everything up to a position.
    pub fn forget(&self, floor: Position) {
        if self.state.read().floor < floor {
            self.state.write().floor = floor;
        }
    }

    /// Makes a damaged run again from the log. Returns whether there was one.
    fn heal_next(&self) -> Result<bool, HistoryError> {
        let (damaged, floor) = {
            let state = self.state.read();
            (state.runs.iter().find(|run| run.is_damaged()).cloned(), state.floor)
        };
        let Some(damaged) = damaged else { return Ok(false) };
        let Span { first, last } = damaged.span;
        // Its parts have other names, and it must not come back beside them. A start reads from the log what is missing.
        self.folder.remove(damaged.span)?;
        let made = rebuild::part(&self.folder, &self.log, Span { first: first.max(floor.next()), last }, self.sizes)?;
        let mut state = self.state.write();
        if let Some(at) = state.runs.iter().position(|run| Arc::ptr_eq(run, &damaged)) {
            state.runs.splice(at..=at, made.into_iter().map(Arc::new));
        }
        tracing::info!(%first, %last, "a damaged run of identities was made again");
        Ok(true)
    }

    /// Writes the oldest complete generation as a run, or makes a damaged run again, or removes runs that are forgotten and merges
    /// others.
    ///
    /// # Errors
    /// A run cannot be read or written: nothing has changed.
    pub fn make_next(&self) -> Result<Progress, HistoryError> {
        let _making = self.making.lock();
        // First, so that events are accepted even if the log cannot be read where a run is damaged.
        let oldest = self.state.read().waiting.front().cloned();
        if let Some(generation) = oldest {
            let span = Span { first: generation.base.next(), last: generation.last };
            let run = self.folder.put(span, generation.rows())?;
            let mut state = self.state.write();
            state.runs.push(Arc::new(run));
            state.waiting.pop_front();
            return Ok(Progress::Wrote);
        }
        self.remove_forgotten()?;
        if self.heal_next()? {
            return Ok(Progress::Wrote);
        }
        let runs = self.state.read().runs.clone();
        let rows: Vec<u64> = runs.iter().map(|run| run.table.len()).collect();
        let Some(range) = plan::merge(&rows, FAN, self.sizes.generation as u64, ROWS_MAX) else {
            return Ok(Progress::Nothing);
        };
        match self.merge(runs.get(range.clone()).unwrap_or_default(), range) {
            Err(_) if self.heal_next()? => Ok(Progress::Wrote),
            merged => merged.map(|()| Progress::Merged),
        }
    }

    fn merge(&self, parts: &[Arc<Run>], range: Range<usize>) -> Result<(), HistoryError> {
        let [Some(first), Some(last)] = [parts.first(), parts.last()] else { return Ok(()) };
        let span = Span { first: first.span.first, last: last.span.last };
        let floor = self.state.read().floor;
        let mut merge = Merge::default();
        for run in parts {
            merge.add(run.table.rows()).inspect_err(|error| found_damaged(run, error))?;
        }
        let rows = merge.filter(|row: &Result<Row, TableError>| row.as_ref().map_or(true, |row| row.position > floor));
        let merged = match self.folder.put(span, rows) {
            Err(error) => {
                for run in parts.iter().filter(|_| !error.is_lack_of_space()) {
                    run.table.verify().unwrap_or_else(|error| found_damaged(run, &error));
                }
                return Err(error.into());
            }
            Ok(merged) => merged,
        };
        self.state.write().runs.splice(range, [Arc::new(merged)]);
        for run in parts {
            self.folder.remove(run.span)?;
        }
        Ok(())
    }

    fn remove_forgotten(&self) -> io::Result<()> {
        let forgotten: Vec<_> = {
            let mut state = self.state.write();
            let floor = state.floor;
            let count = state.runs.partition_point(|run| run.span.last <= floor);
            state.runs.drain(..count).collect()
        };
        forgotten.iter().try_for_each(|run| self.folder.remove(run.span))
    }

    /// All identities that are not forgotten, with their newest positions.
    ///
    /// # Errors
    /// A run cannot be read.
    #[cfg(feature = "sim")]
    pub fn all(&self) -> Result<std::collections::BTreeMap<IdentityHash, Position>, HistoryError> {
        let state = self.state.read();
        let mut all = std::collections::BTreeMap::new();
        for run in &state.runs {
            for row in run.table.rows() {
                let row = row?;
                all.insert(IdentityHash::of_row(&row), row.position);
            }
        }
        for generation in state.waiting.iter().map(|waiting| &**waiting).chain([&state.open]) {
            all.extend(generation.all());
        }
        all.retain(|_, position| *position > state.floor);
        Ok(all)
    }

    /// Number of runs, and of the rows in them.
    #[must_use]
    pub fn runs(&self) -> (usize, u64) {
        let state = self.state.read();
        (state.runs.len(), state.runs.iter().map(|run| run.table.len()).sum())
    }
}

/// A part of a run cannot be read. What it holds is in the log too, so nothing is answered without it until it has been made again.
fn found_damaged(run: &Run, error: &TableError) {
    if !run.set_damaged() {
        let (Span { first, last }, error) = (run.span, error as &dyn std::error::Error);
        tracing::error!(%first, %last, error, "a run of identities is damaged: it is made again from the log");
    }
}

fn not_ready(runs: &[Arc<Run>]) -> HistoryError {
    HistoryError::NotReady { missing: runs.iter().filter(|run| run.is_damaged()).count(), segments: runs.len() }
}

impl State {
    /// The newest position among the generations in memory.
    fn in_memory(&self, identity: IdentityHash) -> Option<Position> {
        let waiting = || self.waiting.iter().rev().find_map(|generation| generation.get(identity));
        self.open.get(identity).or_else(waiting)
    }

    /// Everything later is in memory.
    fn memory_base(&self) -> Position {
        self.waiting.front().map_or(self.open.base, |oldest| oldest.base)
    }
}
