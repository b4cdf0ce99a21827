//! A fold that is kept, and gone on with when the log has more: an application looks at a key, puts it on hold, and takes in what has come
//! since. A fold takes records in order, and nothing that it makes of one depends on a later one, but for what is asked here before it goes
//! on: where that is otherwise, it begins anew.

use std::{collections::BTreeSet, sync::Arc};

use weirgate_types::{HandlerName, Position, Record};

use super::{
    Progress,
    deployments::begins_in,
    examine::Sources,
    key_records::KeyRecords,
    notes::Examined,
    request::{Runs, WhatIf},
    run::{Fork, LaneId},
    walk::Walk,
};
use crate::replay::ReplayError;

/// Whose records are folded.
#[derive(Debug, Clone)]
pub enum Folded {
    /// Those of a key, found through the index: nothing but its records is read.
    Key(String),
    /// All. With keys of the handler, receivers have what the fork emits for these.
    All(Option<Arc<BTreeSet<LaneId>>>),
}

/// What is folded, for which replay.
#[derive(Debug, Clone)]
pub struct Folding {
    replay: Position,
    request: Arc<WhatIf>,
    of: Folded,
}

impl Folding {
    /// All deliveries.
    #[must_use]
    pub fn of_all(replay: Position, request: &WhatIf, emitting: Option<Arc<BTreeSet<LaneId>>>) -> Self {
        Self { replay, request: Arc::new(request.clone()), of: Folded::All(emitting) }
    }

    /// Those of one key alone.
    #[must_use]
    pub fn of_key(replay: Position, request: &WhatIf, (handler, key): &LaneId) -> Self {
        let mut request = WhatIf { handler: handler.clone(), ..request.clone() };
        // A selection that leaves the key out selects nothing of it.
        if matches!(request.runs, Runs::Without(_)) || request.selection.names(key) {
            request.selection.keys = vec![key.clone()];
        }
        Self { replay, request: Arc::new(request), of: Folded::Key(key.clone()) }
    }

    #[must_use]
    pub fn request(&self) -> &WhatIf {
        &self.request
    }

    #[cfg(test)]
    #[must_use]
    pub fn replay(&self) -> Position {
        self.replay
    }

    fn handler(&self) -> &HandlerName {
        &self.request.handler
    }

    /// Whether what was folded before is otherwise with a record that came later: it removes a handler, or is an answer for a delivery, which
    /// that did not get. Those that this replay gets, it gets while it folds.
    fn changes_earlier(&self, record: &Record) -> bool {
        match record {
            Record::ReplayAnswered(answered) => {
                let is_all = matches!(self.of, Folded::All(_));
                answered.replay != self.replay && (is_all || answered.delivery.handler == *self.handler())
            }
            Record::Removed(_) => true,
            _ => false,
        }
    }
}

/// See the module documentation.
pub struct KeptFold {
    fork: Fork,
    walk: Walk,
    /// All records up to there are in it.
    through: Position,
    /// Number of records that were taken last.
    taken: u64,
    is_whole: bool,
}

impl KeptFold {
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }

    /// Number of records that were taken when it was begun, or gone on with.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether it was begun, and not gone on with.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What differs on a key; `None`: nothing.
    #[must_use]
    pub fn examined(&self, lane: &LaneId) -> Option<&Examined> {
        self.fork.examined.get(lane)
    }

    /// What differs, by handler and key.
    pub fn all(&self) -> impl Iterator<Item = (&LaneId, &Examined)> {
        self.fork.examined.iter()
    }
}

impl Sources {
    /// Folds records up to a position, which the log had reached when `self.look` was taken: on from what is kept, where that may be gone on
    /// with.
    ///
    /// # Errors
    /// It was cancelled, came to a bound, or an input cannot be read. What was kept is let go of then: part of a record may be in it.
    pub fn fold(
        &self,
        folding: &Folding,
        through: Position,
        kept: Option<KeptFold>,
        progress: &dyn Progress,
    ) -> Result<KeptFold, ReplayError> {
        if let Some(kept) = kept
            && self.may_go_on(folding, &kept, through)?
            && let Some(gone_on) = self.go_on(folding, kept, through, progress)?
        {
            return Ok(gone_on);
        }
        let begin = self.begin(&folding.request)?;
        let (after, mut fork) = (begin.fork, self.fork(Arc::clone(&folding.request), (begin, through), progress)?);
        if let Folded::All(Some(emitting)) = &folding.of {
            let begins_later = begins_in(&self.look, after, through)?;
            fork = fork.cascading(Arc::clone(emitting)).beginning_later(begins_later);
        }
        let mut fold = KeptFold { fork, walk: self.walk(through), through: after, taken: 0, is_whole: true };
        self.take(folding, &mut fold, through, progress)?;
        Ok(fold)
    }

    /// Whether what was made of earlier records would be made of them now: the range begins where it did, the same replays are undone, and
    /// events of the fork were kept for handlers that are deployed since.
    fn may_go_on(&self, folding: &Folding, kept: &KeptFold, through: Position) -> Result<bool, ReplayError> {
        let KeptFold { fork, walk, through: kept_through, .. } = kept;
        Ok(*kept_through <= through
            && self.begin(&folding.request)? == fork.begin
            && walk.asked.would_be_the_same(&*self.repairs, through)?
            && (fork.cascade.is_none()
                || fork.for_later.is_wanted()
                || !begins_in(&self.look, *kept_through, through)?))
    }

    /// `None`: what was folded before is otherwise with what came later.
    fn go_on(
        &self,
        folding: &Folding,
        mut kept: KeptFold,
        through: Position,
        progress: &dyn Progress,
    ) -> Result<Option<KeptFold>, ReplayError> {
        kept.walk.look_anew(Arc::clone(&self.look), Arc::clone(&self.repairs), through);
        kept.fork.outside = Arc::clone(&self.outside);
        kept.is_whole = false;
        let is_otherwise = self.take(folding, &mut kept, through, progress)?;
        Ok((!is_otherwise).then_some(kept))
    }

    /// Takes what has come; returns whether what was folded before is otherwise with that.
    fn take(
        &self,
        folding: &Folding,
        fold: &mut KeptFold,
        through: Position,
        progress: &dyn Progress,
    ) -> Result<bool, ReplayError> {
        let range = (fold.through, through);
        let (mut taken, mut is_otherwise) = (0, false);
        let look_at = |read: &Result<(Position, Arc<Record>), ReplayError>| {
            let Ok((_, record)) = read else { return };
            taken += 1;
            is_otherwise |= folding.changes_earlier(record);
        };
        let KeptFold { fork, walk, .. } = &mut *fold;
        match &folding.of {
            Folded::Key(key) => {
                let records = KeyRecords::new(self, (folding.handler(), key), range)?;
                fork.run(walk, records.inspect(look_at), progress)?;
            }
            Folded::All(_) => fork.run(walk, self.scan(range.0, range.1).inspect(look_at), progress)?,
        }
        (fold.through, fold.taken) = (through, taken);
        Ok(is_otherwise)
    }
}
