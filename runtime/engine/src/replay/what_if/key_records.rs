//! The records of one key, in order.

use std::{collections::VecDeque, sync::Arc};

use weirgate_types::{HandlerName, Position, Record};

use super::{deployments::Kept, examine::Sources};
use crate::{StorageError, replay::ReplayError};

/// How many positions of a key are asked for at once.
const PAGE: usize = 1_024;

/// The records of one key, through the index, and those of its handler's deployments.
pub struct KeyRecords<'a> {
    sources: &'a Sources,
    key: &'a str,
    through: Position,
    /// The deployments and removals that are left.
    deployments: std::iter::Peekable<std::vec::IntoIter<Kept>>,
    next: VecDeque<Position>,
    /// The positions of the key were asked for up to there.
    asked_through: Position,
    /// The end of the last record that was read: events in it have positions of their own.
    last: Position,
}

impl<'a> KeyRecords<'a> {
    /// Those behind a position, and up to another.
    pub fn new(
        sources: &'a Sources,
        (handler, key): (&HandlerName, &'a str),
        (after, through): (Position, Position),
    ) -> Result<Self, ReplayError> {
        let deployments = sources.deployments.behind(&sources.look, handler, (after, through))?;
        let deployments = deployments.into_iter().peekable();
        Ok(Self { sources, key, through, deployments, next: VecDeque::new(), asked_through: after, last: after })
    }

    fn read(&mut self) -> Result<Option<(Position, Arc<Record>)>, ReplayError> {
        loop {
            if self.next.is_empty() && self.asked_through < self.through {
                self.ask()?;
                continue;
            }
            let of_key = self.next.front().copied();
            let deployment = self.deployments.next_if(|(at, _)| of_key.is_none_or(|of_key| *at <= of_key));
            let (position, known) = match (deployment, of_key) {
                (Some(deployment), _) => deployment,
                (None, Some(position)) => {
                    self.next.pop_front();
                    (position, None)
                }
                (None, None) => return Ok(None),
            };
            if position <= self.last {
                continue;
            }
            let read = match known {
                Some(record) => Some((position, record)),
                None => {
                    let read = self.sources.log().read(position).map_err(StorageError::from)?;
                    read.map(|(first, record)| (first, Arc::new(record)))
                }
            };
            let Some((first, record)) = read else { continue };
            let is_behind = first > self.last;
            self.last = first.plus(record.width()).before();
            if is_behind {
                return Ok(Some((first, record)));
            }
        }
    }

    fn ask(&mut self) -> Result<(), ReplayError> {
        let of_key = self.sources.look.of_key(self.key, self.asked_through, PAGE)?;
        let until = of_key.last().copied().filter(|_| of_key.len() == PAGE).unwrap_or(self.through).min(self.through);
        self.next = of_key.into_iter().take_while(|position| *position <= until).collect();
        self.asked_through = until;
        Ok(())
    }
}

impl Iterator for KeyRecords<'_> {
    type Item = Result<(Position, Arc<Record>), ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
