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

/// Whether a replay's repairs were undone by a position, all of them.
pub type IsUndone = Arc<dyn Fn(Position, Position) -> Result<bool, StorageError> + Send + Sync>;

/// What is known of a replay that has repaired keys.
pub struct Asked {
    /// `None`: the record of the request is lost.
    request: Option<(HandlerName, Selection)>,
    pub is_undone: bool,
}

impl Asked {
    /// Whether it was asked for this handler; one whose request is lost counts as the repaired key's own.
    pub fn is_of(&self, handler: &HandlerName) -> bool {
        self.request.as_ref().is_none_or(|(of, _)| of == handler)
    }

    /// Whether a selection takes all deliveries that it took: where that is not known, it took all.
    pub fn is_taken_whole_by(&self, selection: &Selection) -> bool {
        let all = Selection::default();
        selection.takes_all_of(self.request.as_ref().map_or(&all, |(_, selection)| selection))
    }
}

/// See the module documentation.
pub struct AskedReplays {
    is_undone: IsUndone,
    /// The last position that is looked at: what is decided later does not count.
    through: Position,
    known: RefCell<Known>,
    /// Whether what was known of one was let go of.
    is_forgotten: Cell<bool>,
}

#[derive(Default)]
struct Known {
    replays: HashMap<Position, Arc<Asked>>,
    bytes: usize,
}

impl AskedReplays {
    pub fn new(is_undone: IsUndone, through: Position) -> Self {
        Self { is_undone, through, known: RefCell::default(), is_forgotten: Cell::new(false) }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.known.borrow().bytes
    }

    /// Lets go of what is known: it is read again where it is asked for.
    pub fn forget(&self) {
        let known = self.known.take();
        self.is_forgotten.set(self.is_forgotten.get() || !known.replays.is_empty());
    }

    /// Whether all that was answered would be answered the same as of another position.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn would_be_the_same(&self, is_undone: &IsUndone, through: Position) -> Result<bool, StorageError> {
        let known = self.known.borrow();
        for (replay, asked) in &known.replays {
            if is_undone(*replay, through)? != asked.is_undone {
                return Ok(false);
            }
        }
        Ok(!self.is_forgotten.get())
    }

    pub fn look_anew(&mut self, is_undone: IsUndone, through: Position) {
        (self.is_undone, self.through) = (is_undone, through);
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
        let is_undone = (self.is_undone)(replay, self.through)?;
        let mut known = self.known.borrow_mut();
        let selected = request.as_ref().map_or(0, |(_, selection)| held_bytes(selection));
        known.bytes = known.bytes.saturating_add(selected).saturating_add(2 * size_of::<Asked>());
        let asked = Asked { request, is_undone };
        Ok(Arc::clone(known.replays.entry(replay).or_insert(Arc::new(asked))))
    }
}

impl Walk {
    /// What is known of a replay that has repaired keys.
    pub fn asked(&self, replay: Position) -> Result<Arc<Asked>, ReplayError> {
        self.asked.of(replay, self.log())
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
