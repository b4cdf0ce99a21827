//! The attempts of a log, in order: what went into each, and when all of a call have ended. Pure: records in, ended calls out.

use std::collections::BTreeMap;

use weirgate_types::{
    Carried, Commit, DeliveryCommand, DeliveryDecided, DeliveryId, Deployed, HandlerName, Outcome, Position, Record,
    Stepped,
};

/// An attempt as it began, and the outbound calls that it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub delivery: DeliveryId,
    pub attempt: u32,
    /// Its `Attempted` record.
    pub at: Position,
    pub version: Position,
    pub at_ms: u64,
    pub wall_ms: u64,
    /// What it had of earlier attempts.
    pub carried: Carried,
    /// The `Stepped` records of its own calls, in order.
    pub steps: Vec<Position>,
}

/// An attempt of a call that has ended; without a commit it was discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub begun: Begun,
    /// The record that holds its commit.
    pub commit: Option<Position>,
}

/// All attempts of one call, in the order of its items.
pub type EndedCall = Vec<Ended>;

#[derive(Debug)]
enum State {
    Running,
    Committed(Position),
    Discarded,
}

/// Names a call: its handler, and the event of its first delivery.
type CallId = (HandlerName, Position);

/// The open deliveries and running calls at a position of the log.
#[derive(Debug, Default)]
pub struct Attempts {
    /// What the next attempt at a delivery gets of earlier ones, where that is anything.
    carried: BTreeMap<DeliveryId, Carried>,
    running: BTreeMap<DeliveryId, CallId>,
    calls: BTreeMap<CallId, Vec<(Begun, State)>>,
}

impl Attempts {
    /// Takes the record at `position`, and returns the calls that it ends.
    pub fn apply(&mut self, position: Position, record: &Record) -> Vec<EndedCall> {
        match record {
            Record::Attempted { delivery, attempt, version, call, at_ms, wall_behind_ms } => {
                let begun = Begun {
                    delivery: delivery.clone(),
                    attempt: *attempt,
                    at: position,
                    version: *version,
                    at_ms: *at_ms,
                    wall_ms: at_ms.saturating_sub(*wall_behind_ms),
                    carried: self.carried.get(delivery).cloned().unwrap_or_default(),
                    steps: Vec::new(),
                };
                self.begin(begun, *call)
            }
            Record::Stepped(stepped) => {
                self.stepped(position, stepped);
                Vec::new()
            }
            Record::Committed(_) | Record::Batched(_) => {
                record.commits().iter().filter_map(|commit| self.committed(position, commit)).collect()
            }
            Record::DeliveryDecided(decided) => self.decided(position, decided).into_iter().collect(),
            Record::Deployed(deployed) => self.deployed(deployed),
            Record::Removed(removed) => {
                self.carried.retain(|delivery, _| delivery.handler != removed.handler);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The `Attempted` record of the oldest running attempt.
    #[must_use]
    pub fn oldest(&self) -> Option<Position> {
        self.calls.values().flatten().map(|(begun, _)| begun.at).min()
    }

    /// Whether an attempt at the delivery runs.
    #[must_use]
    pub fn is_running(&self, delivery: &DeliveryId) -> bool {
        self.running.contains_key(delivery)
    }

    /// The running attempts of the call that a delivery runs in, in the order of its items.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn call_of(&self, delivery: &DeliveryId) -> Vec<&Begun> {
        let call = self.running.get(delivery).and_then(|id| self.calls.get(id));
        call.into_iter().flatten().map(|(begun, _)| begun).collect()
    }

    fn begin(&mut self, begun: Begun, call: Position) -> Vec<EndedCall> {
        // A running attempt that begins anew was discarded by a deployment, with all others of its call.
        let discarded = self.running.get(&begun.delivery).cloned().and_then(|old| self.discard(&old));
        let id = (begun.delivery.handler.clone(), call);
        self.running.insert(begun.delivery.clone(), id.clone());
        self.calls.entry(id).or_default().push((begun, State::Running));
        discarded.into_iter().collect()
    }

    /// A deployment is a fence: what runs is discarded, unless its version finishes what it has under way.
    fn deployed(&mut self, deployed: &Deployed) -> Vec<EndedCall> {
        let ends = |call: &[(Begun, State)]| call.iter().any(|(begun, _)| !deployed.finishing.contains(&begun.version));
        let of_handler = self.calls.iter().filter(|((name, _), call)| *name == deployed.handler && ends(call));
        let ids: Vec<_> = of_handler.map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.discard(id)).collect()
    }

    fn discard(&mut self, id: &CallId) -> Option<EndedCall> {
        let mut items = self.calls.remove(id)?;
        for (begun, state) in &mut items {
            if matches!(state, State::Running) {
                self.running.remove(&begun.delivery);
                *state = State::Discarded;
            }
        }
        Some(ended(items))
    }

    fn stepped(&mut self, position: Position, stepped: &Stepped) {
        let Stepped { delivery, attempt, .. } = stepped;
        let call = self.running.get(delivery).and_then(|id| self.calls.get_mut(id));
        let item = call.into_iter().flatten().find(|(begun, _)| begun.delivery == *delivery);
        if let Some((begun, _)) = item.filter(|(begun, _)| begun.attempt == *attempt) {
            begun.steps.push(position);
        }
        if stepped.result.finished().is_some() {
            let carried = self.carried.entry(delivery.clone()).or_default();
            (carried.step, carried.steps) = (Some(position), carried.steps.saturating_add(1));
        }
    }

    fn committed(&mut self, position: Position, commit: &Commit) -> Option<EndedCall> {
        let delivery = commit.delivery();
        match &commit.outcome {
            Outcome::Completed | Outcome::Withheld | Outcome::DeadLettered { held: false, .. } => {
                self.carried.remove(&delivery);
            }
            Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. } | Outcome::DeadLettered { held: true, .. } => {}
        }
        self.end(&delivery, State::Committed(position))
    }

    fn decided(&mut self, position: Position, decided: &DeliveryDecided) -> Option<EndedCall> {
        let DeliveryDecided { delivery, command, carried, .. } = decided;
        // A dead letter that is opened again.
        if *carried != Carried::default() {
            self.carried.insert(delivery.clone(), carried.clone());
        }
        match command {
            DeliveryCommand::Retry => None,
            DeliveryCommand::Correct(_) => {
                self.carried.entry(delivery.clone()).or_default().correction = Some(position);
                None
            }
            DeliveryCommand::Skip
            | DeliveryCommand::Resolve
            | DeliveryCommand::Discard
            | DeliveryCommand::DeadLetter => {
                self.carried.remove(delivery);
                self.end(delivery, State::Discarded)
            }
        }
    }

    /// The delivery's running attempt has ended; returns its call if that was the last one of it.
    fn end(&mut self, delivery: &DeliveryId, state: State) -> Option<EndedCall> {
        let id = self.running.remove(delivery)?;
        let items = self.calls.get_mut(&id)?;
        if let Some((_, old)) = items.iter_mut().find(|(begun, _)| begun.delivery == *delivery) {
            *old = state;
        }
        if items.iter().any(|(_, state)| matches!(state, State::Running)) {
            return None;
        }
        self.calls.remove(&id).map(ended)
    }
}

fn ended(items: Vec<(Begun, State)>) -> EndedCall {
    let items = items.into_iter().map(|(begun, state)| {
        let commit = if let State::Committed(position) = state { Some(position) } else { None };
        Ended { begun, commit }
    });
    items.collect()
}

#[cfg(test)]
mod tests;
