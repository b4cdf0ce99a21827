//! How attempts' results are recorded: commits with their effects, corrections, released emissions, gaps, breakers and
//! pauses.

use std::collections::BTreeMap;

use weirgate_core::{AttemptOutcome, Gap, HOOK, StateChange, Suspicion};
use weirgate_types::{
    BreakerChanged, Carried, Commit, Correction, CorrectionRefused, DeliveryCommand, DeliveryDecided, DeliveryId,
    Digest, Effects, Event, FailureKind, GapPassed, HandlerName, LogLine, Mode, ModeChanged, Outcome, Position, Record,
    StateReads, StateWrite,
};

use super::{Exit, Writer};
use crate::{
    StorageError, corrections,
    job::{CallResult, ItemResult, StoredRecord},
    keys, notices,
};

/// How much of the state is kept with a dead letter.
const KEPT_STATE_BYTES_MAX: usize = 16 << 10;
const KEPT_STATE_VALUES_MAX: usize = 64;

/// Maximum bytes of commits in one record of a batch, unless a single commit is larger.
const BATCHED_BYTES_MAX: usize = 4 << 20;

/// Minimum time between two warnings about deliveries of one handler that may wait for themselves.
const SUSPECTED_INTERVAL_MS: u64 = 60_000;

/// What an attempt produced.
#[derive(Default)]
struct Left {
    effects: Effects,
    log: Vec<LogLine>,
    cpu_us: u32,
    reproducible: bool,
    reads: Vec<StateReads>,
    state_version: u32,
    migrated_from: Option<u32>,
}

impl Writer {
    pub(super) fn commit(
        &mut self,
        handler: &HandlerName,
        outcomes: Vec<AttemptOutcome>,
        is_batch: bool,
        mut call: Option<&mut CallResult>,
    ) -> Result<(), Exit> {
        let mut commits = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            self.metrics.settled(handler, &outcome.outcome);
            let commit = self.commit_of(handler, outcome, &commits, call.as_deref_mut())?;
            commits.push(commit);
        }
        if !is_batch && commits.len() == 1 {
            return commits.pop().map_or(Ok(()), |commit| self.stage(Record::Committed(commit)).map(drop));
        }
        for part in split_by_size(commits) {
            self.stage(Record::Batched(part))?;
        }
        Ok(())
    }

    /// `before` are the earlier commits of its record.
    fn commit_of(
        &mut self,
        handler: &HandlerName,
        mut outcome: AttemptOutcome,
        before: &[Commit],
        mut call: Option<&mut CallResult>,
    ) -> Result<Commit, Exit> {
        let delivery = DeliveryId { handler: handler.clone(), position: outcome.position };
        let (stored, Left { mut effects, log, cpu_us, reproducible, reads, state_version, migrated_from }) =
            self.left_by(&delivery, outcome.attempt, call.as_deref_mut())?;
        let event = stored.event(delivery.position).ok_or_else(|| no_event(&delivery))?;
        let (key, at_ms) = (event.key().to_owned(), self.time.at_ms());
        match &mut outcome.outcome {
            Outcome::Withheld => effects.withheld = std::mem::take(&mut effects.emitted),
            Outcome::DeadLettered { state, .. } => *state = self.state_of(handler, &key, before)?,
            _ => {}
        }
        if let Some(notice) = notices::of_outcome(&delivery, event, &outcome, self.time.now().elapsed_ms) {
            // Most records have no other, and stay in memory for a while.
            effects.emitted.reserve_exact(1);
            effects.emitted.push(notice);
        }
        let version = self.delivery.machine().row(&delivery).map_or(Position::ZERO, |row| row.version);
        let digest = match &call {
            Some(call) => call.deployed.digest,
            None => self.digest_at(version, handler)?,
        };
        self.warn_if_suspected(&delivery, &outcome.outcome);
        let depth = stored.depth_at(delivery.position).saturating_add(1);
        let AttemptOutcome { position: event, attempt, outcome, .. } = outcome;
        Ok(Commit {
            handler: handler.clone(),
            event,
            key,
            attempt,
            version,
            digest,
            at_ms,
            outcome,
            depth,
            effects,
            log,
            cpu_us,
            reproducible,
            reads,
            state_version,
            migrated_from,
        })
    }

    /// Logs a delivery that may be waiting for itself; at most one a minute for each handler, since a service that is down makes
    /// all its deliveries fail.
    fn warn_if_suspected(&mut self, delivery: &DeliveryId, outcome: &Outcome) {
        let Outcome::Retry { spent: true, failure, .. } = outcome else { return };
        let machine = self.delivery.machine();
        let spent = machine.row(delivery).map_or(0, |row| row.spent);
        let (failed, behind) = (spent.saturating_add(1), machine.behind(delivery));
        if failure.kind != FailureKind::Handler || !Suspicion::is_worth_a_line(failed, behind) {
            return;
        }
        let (now_ms, warned_ms) = (self.time.now().elapsed_ms, self.suspected_at_ms.get(&delivery.handler));
        if warned_ms.is_some_and(|warned_ms| now_ms.saturating_sub(*warned_ms) < SUSPECTED_INTERVAL_MS) {
            return;
        }
        self.suspected_at_ms.insert(delivery.handler.clone(), now_ms);
        tracing::warn!(
            %delivery, failed, message = %failure.message,
            "a delivery keeps failing while later events of its key wait behind it: if it waits for one of them, it waits for \
             itself (docs/guides/when-deliveries-fail.md)"
        );
    }

    /// The module of the deployment under which an attempt began: another may have been deployed since.
    fn digest_at(&self, version: Position, handler: &HandlerName) -> Result<Digest, Exit> {
        match self.durability.reader().read(version)? {
            Some((_, Record::Deployed(deployed))) => Ok(deployed.digest),
            _ => {
                let digest = self.delivery.digest(handler);
                Ok(digest.ok_or(StorageError::Missing { what: "deployment", position: version })?)
            }
        }
    }

    /// Takes what the attempt being settled produced; an interrupted attempt produced nothing.
    fn left_by(
        &self,
        delivery: &DeliveryId,
        attempt: u32,
        call: Option<&mut CallResult>,
    ) -> Result<(StoredRecord, Left), Exit> {
        let reproducible = call.as_ref().is_some_and(|call| call.reproducible);
        let cpu_us = call.as_ref().map_or(0, |call| call.cpu_us_of_each());
        let state_version = call.as_ref().map_or(0, |call| call.deployed.state_version);
        match call.and_then(|call| item_of(call, delivery, attempt)) {
            Some(item) => {
                let effects = item.result.as_mut().map(std::mem::take).unwrap_or_default();
                let (log, reads) = (std::mem::take(&mut item.log), std::mem::take(&mut item.reads));
                let migrated_from = item.migrated_from;
                let left = Left { effects, log, cpu_us, reproducible, reads, state_version, migrated_from };
                Ok((item.stored.clone(), left))
            }
            None => Ok((self.durability.stored(delivery.position)?, Left::default())),
        }
    }

    /// The part of a key's state that is kept with a dead letter.
    fn state_of(&self, handler: &HandlerName, key: &str, before: &[Commit]) -> Result<Vec<StateWrite>, Exit> {
        let prefix = keys::states(handler, key);
        let mut values = BTreeMap::new();
        for (row, value) in self.durability.projection().scan(&prefix, KEPT_STATE_VALUES_MAX)? {
            let name = String::from_utf8_lossy(row.get(prefix.len()..).unwrap_or_default()).into_owned();
            let Some(keys::Stored::Inline(value)) = keys::Stored::decode(&value) else { continue };
            values.insert(name, Some(value.to_vec()));
        }
        let of_key = before.iter().filter(|commit| commit.key == key);
        for write in of_key.flat_map(|commit| &commit.effects.state) {
            values.insert(write.name.clone(), write.value.clone());
        }
        let mut bytes = 0;
        let kept = values.into_iter().filter(|(_, value)| value.is_some()).take_while(|(name, value)| {
            bytes += name.len() + value.as_ref().map_or(0, Vec::len);
            bytes <= KEPT_STATE_BYTES_MAX
        });
        Ok(kept.take(KEPT_STATE_VALUES_MAX).map(|(name, value)| StateWrite { name, value }).collect())
    }

    /// Runs a delivery again with other data.
    pub(super) fn correct(
        &mut self,
        delivery: DeliveryId,
        with: Option<Position>,
        call: Option<&mut CallResult>,
    ) -> Result<(), Exit> {
        let stored = self.durability.stored(delivery.position)?;
        let event = stored.event(delivery.position).ok_or_else(|| no_event(&delivery))?;
        let (correction, actor, reason) = match with {
            Some(position) => {
                let brought = DeliveryId { handler: delivery.handler.clone(), position };
                let brought_stored = self.durability.stored(position)?;
                let brought = brought_stored.event(position).ok_or_else(|| no_event(&brought))?;
                let (actor, reason) = (brought.source.clone(), format!("{} at {position}", brought.r#type));
                let before = self.delivery.machine().row(&delivery).and_then(|row| row.carried.correction);
                let current = corrections::as_delivered(self.durability.reader(), event, before)?;
                match corrections::by_event(current.as_ref().unwrap_or(event), brought, position) {
                    Ok(correction) => (correction, actor, reason),
                    Err(reason) => return self.refuse_correction(delivery, event, position, reason),
                }
            }
            None => {
                let mut items = call.into_iter().flat_map(|call| &mut call.items);
                let item = items.find(|item| item.position == delivery.position);
                let Some(correction) = item.and_then(|item| item.correction.take()) else { return Ok(()) };
                (correction, HOOK.to_owned(), "the handler's hook corrected it".to_owned())
            }
        };
        self.stage_correction(delivery, event.key().to_owned(), correction, actor, reason)
    }

    /// A correction event cannot be applied: the delivery continues to wait for one that can.
    fn refuse_correction(
        &mut self,
        delivery: DeliveryId,
        event: &Event,
        correction: Position,
        reason: String,
    ) -> Result<(), Exit> {
        tracing::info!(%delivery, %correction, %reason, "a correction is refused");
        let notice = notices::of_refused_correction(&delivery, event, correction, &reason);
        let (key, at_ms) = (event.key().to_owned(), self.time.at_ms());
        let refused = CorrectionRefused { delivery, key, correction, reason, at_ms, notice };
        self.stage(Record::CorrectionRefused(refused)).map(drop)
    }

    fn stage_correction(
        &mut self,
        delivery: DeliveryId,
        key: String,
        correction: Correction,
        actor: String,
        reason: String,
    ) -> Result<(), Exit> {
        let (command, carried, at_ms) = (DeliveryCommand::Correct(correction), Carried::default(), self.time.at_ms());
        let emitted = Vec::new();
        self.stage(Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor,
            reason,
            at_ms,
            emitted,
        }))
        .map(drop)
    }

    /// Earlier deliveries of the lane are closed: this one's emissions are released.
    pub(super) fn release(&mut self, delivery: DeliveryId, commit: Position) -> Result<(), Exit> {
        let stored = self.durability.stored(commit)?;
        let withheld = stored.record.commit_of(&delivery);
        let withheld = withheld.ok_or(StorageError::Missing { what: "commit", position: commit })?;
        let (key, emitted, depth) = (withheld.key.clone(), withheld.effects.withheld.clone(), withheld.depth);
        let at_ms = self.time.at_ms();
        self.stage(Record::Released { delivery, key, emitted, depth, at_ms }).map(drop)
    }

    /// The wait for the numbers missing before a delivery is over.
    pub(super) fn pass_gap(&mut self, gap: Gap) -> Result<(), Exit> {
        let stored = self.durability.stored(gap.delivery.position)?;
        let event = stored.event(gap.delivery.position).ok_or_else(|| no_event(&gap.delivery))?;
        let (key, at_ms) = (event.key().to_owned(), self.time.at_ms());
        let notice = notices::of_gap(&gap, event);
        let Gap { delivery, expected, found } = gap;
        tracing::info!(%delivery, expected, found, "a gap in a sequence is passed");
        self.metrics.gap_passed(&delivery.handler);
        self.stage(Record::GapPassed(GapPassed { delivery, key, expected, found, at_ms, notice })).map(drop)
    }

    pub(super) fn change_state(&mut self, change: StateChange) -> Result<(), Exit> {
        let at_ms = self.time.at_ms();
        match change {
            StateChange::Breaker { breaker, open_ms, actor, reason } => {
                let open_until_ms = open_ms.map(|open_ms| self.time.now().wall_ms.saturating_add(open_ms));
                let notice = notices::of_breaker(&breaker, open_until_ms, &actor, &reason, self.time.now().elapsed_ms);
                let changed = BreakerChanged { breaker, open_ms, open_until_ms, actor, reason, at_ms, notice };
                self.stage(Record::BreakerChanged(changed)).map(drop)
            }
            StateChange::Stop { handler, reason } => {
                let mode = Mode::Paused;
                if self.delivery.machine().may_change_mode(&handler, mode) != weirgate_core::Verdict::Granted {
                    return Ok(());
                }
                let actor = "weirgate".to_owned();
                let notice = notices::of_mode(&handler, mode, &actor, &reason, self.time.now().elapsed_ms);
                self.stage(Record::ModeChanged(ModeChanged { handler, mode, actor, reason, at_ms, notice })).map(drop)
            }
        }
    }
}

/// The attempt's own item of a call's results.
fn item_of<'a>(call: &'a mut CallResult, delivery: &DeliveryId, attempt: u32) -> Option<&'a mut ItemResult> {
    let mut items = call.items.iter_mut().filter(|_| call.handler == delivery.handler);
    items.find(|item| item.position == delivery.position && item.attempt == attempt)
}

/// The commits in order, in as few parts as fit into records.
fn split_by_size(commits: Vec<Commit>) -> Vec<Vec<Commit>> {
    let (mut parts, mut bytes) = (Vec::<Vec<Commit>>::new(), 0_usize);
    for commit in commits {
        let size = commit.encoded_size();
        bytes = bytes.saturating_add(size);
        match parts.last_mut().filter(|_| bytes <= BATCHED_BYTES_MAX) {
            Some(part) => part.push(commit),
            None => {
                parts.push(vec![commit]);
                bytes = size;
            }
        }
    }
    parts
}

pub(super) fn no_event(delivery: &DeliveryId) -> StorageError {
    StorageError::Missing { what: "event", position: delivery.position }
}
