//! What a walk knows of the replays that have repaired keys.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use weirgate_log::LogReader;
use weirgate_types::{HandlerName, Position, Record, ReplayAnswered, ReplayRequested};

use super::{
    calls::AnsweredCall,
    held::held_bytes,
    request::{Selection, WhatIf},
    run::LaneId,
    walk::Walk,
};
use crate::{StorageError, replay::ReplayError};

/// How many positions are asked for at once.
const PAGE: usize = 1_024;

/// What is known of repairs.
pub trait Repairs: Send + Sync {
    /// Whether what a replay repaired of a handler and key was undone by a position: that alone, or all of its repairs.
    ///
    /// # Errors
    /// It cannot be read.
    fn is_undone(&self, replay: Position, lane: &LaneId, through: Position) -> Result<bool, StorageError>;

    /// Whether a replay has repaired a handler and key.
    ///
    /// # Errors
    /// It cannot be read.
    fn has_repaired(&self, replay: Position, lane: &LaneId) -> Result<bool, StorageError>;

    /// Where a fork begins that is to begin behind a position: there, or behind an older replay that has repaired keys of the handler, of which
    /// something was undone later. In a fork that has the repair and not its undo, what was undone would come back.
    ///
    /// # Errors
    /// It cannot be read.
    fn begins_behind(&self, handler: &HandlerName, after: Position) -> Result<Position, StorageError>;
}

/// What is known of a replay that has repaired keys.
pub struct Asked {
    /// `None`: the record of the request is lost.
    request: Option<(HandlerName, Selection)>,
}

impl Asked {
    /// Whether it was asked for this handler; one whose request is lost counts as the repaired key's own.
    pub fn is_of(&self, handler: &HandlerName) -> bool {
        self.request.as_ref().is_none_or(|(of, _)| of == handler)
    }

    /// Whether a selection takes all deliveries that it took: where that is not known, it took all.
    pub fn is_taken_whole_by(&self, selection: &Selection) -> bool {
        let all = Selection::default();
        selection.takes_all_of(self.selection().unwrap_or(&all))
    }

    /// The same of all keys, for a selection that begins behind a position.
    pub fn is_taken_with_all_keys_by(&self, selection: &Selection, behind: Position) -> bool {
        let all = Selection::default();
        let took = self.selection().unwrap_or(&all);
        selection.takes_all_of(took) && selection.names_all_of(took) && behind <= took.after
    }

    fn selection(&self) -> Option<&Selection> {
        self.request.as_ref().map(|(_, selection)| selection)
    }
}

/// See the module documentation.
pub struct AskedReplays {
    repairs: Arc<dyn Repairs>,
    /// The last position that is looked at: what is decided later does not count.
    through: Position,
    known: RefCell<Known>,
    /// Whether what was known of one was let go of.
    is_forgotten: Cell<bool>,
}

#[derive(Default)]
struct Known {
    replays: HashMap<Position, Arc<Asked>>,
    /// Whether what a replay repaired of a handler and key was undone.
    undone: HashMap<(Position, LaneId), bool>,
    bytes: usize,
}

impl AskedReplays {
    pub fn new(repairs: Arc<dyn Repairs>, through: Position) -> Self {
        Self { repairs, through, known: RefCell::default(), is_forgotten: Cell::new(false) }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.known.borrow().bytes
    }

    /// The last position that is looked at.
    pub fn through(&self) -> Position {
        self.through
    }

    /// Lets go of what is known: it is read again where it is asked for.
    pub fn forget(&self) {
        let known = self.known.take();
        self.is_forgotten.set(self.is_forgotten.get() || !known.undone.is_empty());
    }

    /// Whether all that was answered would be answered the same as of another position.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn would_be_the_same(&self, repairs: &dyn Repairs, through: Position) -> Result<bool, StorageError> {
        let known = self.known.borrow();
        for ((replay, lane), was_undone) in &known.undone {
            if repairs.is_undone(*replay, lane, through)? != *was_undone {
                return Ok(false);
            }
        }
        Ok(!self.is_forgotten.get())
    }

    pub fn look_anew(&mut self, repairs: Arc<dyn Repairs>, through: Position) {
        (self.repairs, self.through) = (repairs, through);
    }

    fn of(&self, replay: Position, log: &LogReader) -> Result<Arc<Asked>, ReplayError> {
        if let Some(known) = self.known.borrow().replays.get(&replay) {
            return Ok(Arc::clone(known));
        }
        let read = log.read(replay).map_err(StorageError::from)?;
        let request = match read {
            Some((_, Record::ReplayRequested(ReplayRequested { handler, request, .. }))) => {
                let asked = serde_json::from_str::<WhatIf>(&request);
                Some((handler, asked.map_err(StorageError::undecodable("a what-if"))?.selection))
            }
            _ => None,
        };
        let mut known = self.known.borrow_mut();
        let selected = request.as_ref().map_or(0, |(_, selection)| held_bytes(selection));
        known.bytes = known.bytes.saturating_add(selected).saturating_add(2 * size_of::<Asked>());
        Ok(Arc::clone(known.replays.entry(replay).or_insert(Arc::new(Asked { request }))))
    }

    fn is_undone(&self, replay: Position, lane: &LaneId) -> Result<bool, ReplayError> {
        let of_lane = (replay, lane.clone());
        if let Some(known) = self.known.borrow().undone.get(&of_lane) {
            return Ok(*known);
        }
        let is_undone = self.repairs.is_undone(replay, lane, self.through)?;
        let mut known = self.known.borrow_mut();
        known.bytes =
            known.bytes.saturating_add(lane.1.len()).saturating_add(2 * size_of::<(Position, LaneId, bool)>());
        known.undone.insert(of_lane, is_undone);
        Ok(is_undone)
    }
}

impl Walk {
    /// What is known of a replay that has repaired keys.
    pub fn asked(&self, replay: Position) -> Result<Arc<Asked>, ReplayError> {
        self.asked.of(replay, self.log())
    }

    /// Whether what a replay repaired of a handler and key was undone since.
    pub fn is_undone(&self, replay: Position, lane: &LaneId) -> Result<bool, ReplayError> {
        self.asked.is_undone(replay, lane)
    }

    /// Whether a replay has repaired a handler and key.
    pub fn has_repaired(&self, replay: Position, lane: &LaneId) -> Result<bool, ReplayError> {
        Ok(self.asked.repairs.has_repaired(replay, lane)?)
    }

    /// The answers that a replay got for calls of a lane's deliveries before the present record.
    pub fn answers_of(
        &self,
        replay: Position,
        (handler, key): &LaneId,
    ) -> Result<Vec<(Position, AnsweredCall)>, ReplayError> {
        let (before, mut found, mut after) = (self.at(), Vec::new(), replay);
        loop {
            let page = self.look.of_lane(handler, key, after, PAGE)?;
            for position in page.iter().copied().take_while(|position| *position < before) {
                let Some((_, Record::ReplayAnswered(answered))) =
                    self.log().read(position).map_err(StorageError::from)?
                else {
                    continue;
                };
                if answered.replay == replay {
                    let ReplayAnswered { delivery, step, request, answer, .. } = answered;
                    found.push((delivery.position, AnsweredCall { step, request, answer }));
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE && *last < before => after = *last,
                _ => return Ok(found),
            }
        }
    }
}
