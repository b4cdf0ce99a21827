//! Replays of a simulated engine: their steps, holds and repairs.

use weirgate_types::{HandlerName, Position, Repaired};

use super::{Answer, Engine};
use crate::{
    Audit, Refusal, RepairId, ReplayRow, ReplayStep, StorageError,
    command::{Command, HoldToken},
    keys,
};

/// A key on hold.
#[derive(Debug)]
pub struct Hold(HoldToken);

impl Hold {
    /// The wall clock's time when it was known that no attempt runs.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.0.wall_ms
    }
}

/// A hold that was asked for.
#[derive(Debug)]
pub struct Holding(Answer<HoldToken>);

impl Holding {
    /// The hold, once no attempt of the key is running; or that it was refused or over before.
    pub fn poll(&mut self) -> Option<Result<Hold, Refusal>> {
        self.0.poll().map(|answer| answer.map(Hold))
    }
}

impl Engine {
    #[must_use]
    pub fn step_replay(&self, step: ReplayStep, audit: Audit) -> Answer<Position> {
        let step = Box::new(step);
        self.ask(|reply| Command::StepReplay { step, audit, reply })
    }

    #[must_use]
    pub fn hold_key(&self, handler: HandlerName, key: String) -> Holding {
        Holding(self.ask(|reply| Command::HoldKey { handler, key, reply }))
    }

    pub fn end_hold(&self, hold: &Hold) {
        self.tell(Command::EndHold { hold: hold.0.hold });
    }

    #[must_use]
    pub fn repair(&self, hold: &Hold, repaired: Repaired, has_more: bool) -> Answer<Position> {
        let (token, repaired) = (hold.0.clone(), Box::new(repaired));
        self.ask(|reply| Command::Repair { token, repaired, has_more, reply })
    }

    /// # Errors
    /// The views cannot be read.
    pub fn replay_row(&self, replay: Position) -> Result<Option<ReplayRow>, StorageError> {
        let value = self.views().get(&keys::replay(replay))?;
        value.map(|value| ReplayRow::decode(&value)).transpose()
    }

    /// The rows of a replay's repairs.
    ///
    /// # Errors
    /// The views cannot be read.
    pub fn repair_rows(&self, replay: Position) -> Result<Vec<RepairId>, StorageError> {
        let rows = self.views().scan_keys(&keys::repairs_of(replay), None, usize::MAX)?;
        Ok(rows.iter().filter_map(|row| keys::repair_of(row)).collect())
    }
}
