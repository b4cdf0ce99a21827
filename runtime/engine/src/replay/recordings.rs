//! Recorded calls with all their inputs, out of a running server's log or a stopped one's. They are found through the history, so
//! their cost follows from their number, and not from the length of the log.

use std::sync::Arc;

use weirgate_history::{HistoryError, KeyState, Look};
use weirgate_host::Host;
use weirgate_log::Epochs;
use weirgate_types::{Commit, DeliveryId, HandlerName, Position};

use super::{
    ReplayError,
    attempts::EndedCall,
    execute::{CallInput, Services},
    find::{Finder, Found},
    inputs::{Inputs, States},
};

/// See the module documentation.
pub struct Recordings {
    look: Arc<Look>,
    epochs: Arc<Epochs>,
    finder: Finder,
    pub inputs: Inputs,
}

/// A call that ended, and the commits of its attempts; `None` for those that were discarded.
pub struct Recorded {
    pub call: EndedCall,
    pub commits: Vec<Option<Commit>>,
    /// Whether its attempts may have read what a record wrote that was lost since.
    pub may_lack_inputs: bool,
}

impl Recorded {
    /// The commits, if executing the call again gives the same; what a discarded attempt came to is not recorded, but the others of its
    /// call may depend on it.
    #[must_use]
    pub fn reproducible(&self) -> Option<Vec<Commit>> {
        let commits: Option<Vec<Commit>> = self.commits.iter().cloned().collect();
        commits.filter(|commits| commits.iter().all(|commit| commit.reproducible))
    }
}

/// What a record with commits holds of calls.
pub enum Recording {
    Call(Recorded),
    /// It has commits of a call that ends later.
    NotEnded,
    /// It cannot be found with a bounded number of reads: its key has too many records since its event.
    TooFar(DeliveryId),
}

impl Recordings {
    /// Of calls that ended up to `through`.
    pub fn new(look: Look, epochs: Arc<Epochs>, host: Arc<Host>, through: Position) -> Self {
        let look = Arc::new(look);
        let inputs = Inputs::new(look.log().clone(), host, States::History(Arc::clone(&look)));
        Self { finder: Finder::new(Arc::clone(&look), through), look, epochs, inputs }
    }

    /// The positions of the last records with commits of a handler, in order; at most `limit`.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn last_commits(&self, handler: &HandlerName, limit: usize) -> Result<Vec<Position>, HistoryError> {
        self.finder.last_commits(handler, limit)
    }

    /// The positions of records with commits of a handler after a position, in order; at most `limit`.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn commits(&self, handler: &HandlerName, after: Position, limit: usize) -> Result<Vec<Position>, HistoryError> {
        self.look.of_commits(handler, after, limit)
    }

    /// The positions of all records of a handler about a key after a position, in order; at most `limit`. Some hold no commit.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn of_key(
        &self,
        (handler, key): (&HandlerName, &str),
        after: Position,
        limit: usize,
    ) -> Result<Vec<Position>, HistoryError> {
        self.look.of_lane(handler, key, after, limit)
    }

    /// The calls of a handler, or of all, whose last commit is in the record at a position.
    ///
    /// # Errors
    /// The log or the history cannot be read.
    pub fn at(&mut self, position: Position, handler: Option<&HandlerName>) -> Result<Vec<Recording>, ReplayError> {
        let found = self.finder.calls_at(position, handler)?;
        let recordings = found.into_iter().map(|(delivery, found)| match found {
            Found::Call(call) => self.recorded(call, position).map(Recording::Call),
            Found::NotEnded => Ok(Recording::NotEnded),
            Found::TooFar => Ok(Recording::TooFar(delivery)),
        });
        recordings.collect()
    }

    fn recorded(&self, call: EndedCall, position: Position) -> Result<Recorded, ReplayError> {
        let commits = call.iter().map(|ended| self.inputs.commit(ended, None)).collect::<Result<_, _>>()?;
        let lost = self.look.lost_before(position)?.map(|lost| self.epochs.at(lost));
        let may_lack_inputs = call.iter().any(|ended| lost == Some(self.epochs.at(ended.begun.at)));
        Ok(Recorded { call, commits, may_lack_inputs })
    }

    /// What its attempts were called with: time, events and corrections.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn input(&self, recorded: &Recorded) -> Result<CallInput<'static>, ReplayError> {
        self.inputs.call(&recorded.call, recorded.commits.iter().map(Option::as_ref))
    }

    /// Where the attempt of an index reads its state, and the answers of its calls.
    ///
    /// # Errors
    /// The log or the history cannot be read; there is no such attempt, or it was discarded.
    pub fn services(&self, recorded: &Recorded, index: usize) -> Result<Services, ReplayError> {
        let ended = recorded.call.get(index).zip(recorded.commits.get(index).and_then(Option::as_ref));
        let (ended, commit) = ended.ok_or(ReplayError::NoItem(index))?;
        self.inputs.services(&ended.begun, commit)
    }

    /// The state of a handler and key after the record at a position.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn state_at(&self, handler: &HandlerName, key: &str, position: Position) -> Result<KeyState, HistoryError> {
        self.look.state_at(handler, key, position)
    }

    /// Number of records that were read to find calls.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.finder.records_read()
    }
}
