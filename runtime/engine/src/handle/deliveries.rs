//! Open deliveries: listing them, what blocks which, and commands for one.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use weirgate_core::{DeliveryRow, DeliveryState, Suspicion};
use weirgate_types::{
    AttemptFailure, Correction, DeliveryCommand, DeliveryDecided, DeliveryId, Event, HandlerName, KeyHash, Position,
    Record,
};

use super::{Handle, Suspected, blocking};
use crate::{
    Audit, Refusal,
    command::{Command, PreparedCommand},
    corrections,
    job::StoredRecord,
    keys, lost, tables,
};

/// Maximum number of open deliveries scanned for blocked lanes.
const LOOKED_AT_MAX: usize = 100_000;
/// Rows per scan step: writers wait for a scan.
const PAGE: usize = 256;

/// A command for a delivery, as an operator gives it.
#[derive(Debug, Clone)]
pub enum CommandRequest {
    Retry,
    Correct(NewData),
    Skip,
    Resolve(Vec<Event>),
    Discard,
    DeadLetter,
}

/// Corrected data.
#[derive(Debug, Clone)]
pub enum NewData {
    /// Replaces the event's data.
    Whole { data: Vec<u8>, data_content_type: Option<String> },
    /// A merge patch (RFC 7396) on the delivery's present data, which has to be JSON.
    Patch(Box<RawValue>),
}

/// The data that a delivery gets in place of its event's.
#[derive(Debug, Clone)]
pub struct Corrected {
    /// The position of the correcting record.
    pub position: Position,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
    pub data: Vec<u8>,
    /// Its difference from the event's data, as a JSON patch (RFC 6902) if both are JSON.
    pub difference: Option<Box<RawValue>>,
}

/// A blocked lane and the delivery that blocks it.
#[derive(Debug, Clone)]
pub struct Blocked {
    pub first: DeliveryId,
    /// The key of the first delivery's event.
    pub key: String,
    pub state: DeliveryState,
    /// When its event was accepted, and how its last attempt failed.
    pub accepted_at_ms: u64,
    pub failure: Option<AttemptFailure>,
    /// Number of deliveries that wait behind it, and their first positions.
    pub behind: usize,
    pub positions: Vec<Position>,
    /// Whether the first may be waiting for one of the others, and their types. Found for the first lanes of a list only.
    pub suspected: Option<Suspected>,
}

/// Blocked lanes, the longest first.
#[derive(Debug, Clone)]
pub struct BlockedPage {
    pub blocked: Vec<Blocked>,
    pub has_more: bool,
    /// Number of open deliveries examined.
    pub examined: usize,
    /// Whether those are all: otherwise more wait than `behind` says, and lanes are missing.
    pub is_complete: bool,
}

/// How many times a command is prepared again because the delivery changed meanwhile.
const COMMAND_TRIES: usize = 3;
/// Maximum total bytes of the events that resolve a delivery.
const RESOLVING_BYTES_MAX: usize = 4 << 20;
/// Maximum number of positions listed of those behind one delivery.
const NAMED_MAX: usize = 20;
/// Maximum number of lanes of a list for which the types of the waiting events are read.
const SUSPECTED_MAX: usize = 50;

impl Handle {
    /// Carries out a command for a delivery: an open one that is not running, or a dead letter. Returns the position of its
    /// record, and for a correction the change of the delivery's data, as a JSON patch (RFC 6902) if both are JSON.
    ///
    /// # Errors
    /// The delivery is not open, is running, or keeps changing meanwhile; or the correction does not fit the event.
    pub async fn command_delivery(
        &self,
        delivery: DeliveryId,
        request: CommandRequest,
        audit: Audit,
    ) -> Result<(Position, Option<Box<RawValue>>), Refusal> {
        for _ in 1..COMMAND_TRIES {
            match self.try_command(delivery.clone(), request.clone(), audit.clone()).await {
                Err(Refusal::Changed(_)) => {}
                answer => return answer,
            }
        }
        self.try_command(delivery, request, audit).await
    }

    async fn try_command(
        &self,
        delivery: DeliveryId,
        request: CommandRequest,
        audit: Audit,
    ) -> Result<(Position, Option<Box<RawValue>>), Refusal> {
        let handle = self.clone();
        let (command, difference) =
            self.0.queries.own_read(move || handle.prepare_command(delivery, request, audit)).await??;
        let command = Box::new(command);
        Ok((self.ask(|reply| Command::Decide { command, reply }).await?, difference))
    }

    pub(crate) fn prepare_command(
        &self,
        delivery: DeliveryId,
        request: CommandRequest,
        audit: Audit,
    ) -> Result<(PreparedCommand, Option<Box<RawValue>>), Refusal> {
        let not_open = || Refusal::NotOpen(delivery.clone());
        let stored = StoredRecord::read(&self.0.statuses.log, delivery.position)?.ok_or_else(not_open)?;
        let event = stored.event(delivery.position).ok_or_else(not_open)?;
        if lost::is_lost(event) && matches!(request, CommandRequest::Retry | CommandRequest::Correct(_)) {
            let reason = "its event was lost, so no attempt is possible: skip, resolve or discard it";
            return Err(Refusal::Correction(format!("{delivery}: {reason}")));
        }
        let carried = self.carried(&delivery)?;
        let (mut difference, mut events) = (None, Vec::new());
        let command = match request {
            CommandRequest::Retry => DeliveryCommand::Retry,
            CommandRequest::Correct(data) => {
                let current = corrections::as_delivered(&self.0.statuses.log, event, carried.correction)?;
                let current = current.as_ref().unwrap_or(event);
                let correction = correction(current, data)?;
                corrections::check_size(&correction.data).map_err(Refusal::Correction)?;
                difference = corrections::difference(&current.data, &correction.data);
                DeliveryCommand::Correct(correction)
            }
            CommandRequest::Skip => DeliveryCommand::Skip,
            CommandRequest::Resolve(resolving) => {
                check_resolving(&resolving)?;
                events = resolving;
                DeliveryCommand::Resolve
            }
            CommandRequest::Discard => DeliveryCommand::Discard,
            CommandRequest::DeadLetter => DeliveryCommand::DeadLetter,
        };
        let last_failure = match command {
            DeliveryCommand::DeadLetter => self.last_failure(&delivery, carried.failure)?,
            _ => None,
        };
        Ok((PreparedCommand { delivery, stored, command, events, carried, audit, last_failure }, difference))
    }

    /// The lanes with blocked deliveries, without the first `skip`; at most `limit`. Examines the first 100,000 open
    /// deliveries.
    ///
    /// # Errors
    /// The views cannot be read; [`Refusal::TooManyQueries`].
    pub async fn blocked(
        &self,
        handler: Option<HandlerName>,
        (skip, limit): (usize, usize),
    ) -> Result<BlockedPage, Refusal> {
        let handlers = self.handlers().await?.into_iter();
        let firsts = handlers.filter_map(|item| Some((item.name, item.manifest.resequence?.first))).collect();
        let (handle, scan) = (self.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            handle.find_blocked(handler.as_ref(), &firsts, (skip, limit))
        })
        .await?
    }

    /// The newest correction of a delivery that is open or a dead letter.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn corrected(&self, delivery: DeliveryId) -> Result<Option<Corrected>, Refusal> {
        let handle = self.clone();
        let read = move || {
            let log = &handle.0.statuses.log;
            let Some(position) = handle.carried(&delivery)?.correction else { return Ok(None) };
            let Some((_, Record::DeliveryDecided(one))) = log.read(position)? else { return Ok(None) };
            let DeliveryCommand::Correct(Correction { data, .. }) = one.command else { return Ok(None) };
            let stored = StoredRecord::read(log, delivery.position)?;
            let event = stored.as_ref().and_then(|stored| stored.event(delivery.position));
            let difference = event.and_then(|event| corrections::difference(&event.data, &data));
            let DeliveryDecided { actor, reason, at_ms, .. } = one;
            Ok(Some(Corrected { position, actor, reason, at_ms, data, difference }))
        };
        self.0.queries.own_read(read).await?
    }

    /// `firsts`: the first numbers of the handlers that put events back into order.
    fn find_blocked(
        &self,
        handler: Option<&HandlerName>,
        firsts: &BTreeMap<HandlerName, u64>,
        (skip, limit): (usize, usize),
    ) -> Result<BlockedPage, Refusal> {
        let Examined { lanes, count: examined, is_complete } = self.examine_lanes(handler)?;
        let mut lanes: Vec<_> = lanes.into_iter().filter(|(_, lane)| lane.behind > 0).collect();
        lanes.sort_by_key(|(_, lane)| std::cmp::Reverse(lane.behind));
        let mut suspected = 0;
        let has_more = lanes.len() > skip.saturating_add(limit);
        let blocked = lanes.into_iter().skip(skip).take(limit).filter_map(|((handler, _), lane)| {
            let first_number = firsts.get(&handler).copied();
            let blocked = self.blocked_lane(first_number, handler, lane, suspected < SUSPECTED_MAX)?;
            suspected += usize::from(blocked.suspected.is_some());
            Some(blocked)
        });
        Ok(BlockedPage { blocked: blocked.collect(), has_more, examined, is_complete })
    }

    fn examine_lanes(&self, handler: Option<&HandlerName>) -> Result<Examined, Refusal> {
        let prefix = handler.map_or_else(|| tables::DELIVERIES.prefix().to_vec(), keys::deliveries_of);
        let mut found = Examined { lanes: BTreeMap::new(), count: 0, is_complete: false };
        let mut after = None::<Vec<u8>>;
        loop {
            // One more than may be examined says whether there are more.
            let room = LOOKED_AT_MAX - found.count;
            let page = self.0.statuses.views.scan(&prefix, after.as_deref(), PAGE.min(room + 1))?;
            found.is_complete = page.is_empty();
            let is_over = page.len() > room;
            for (key, value) in page.into_iter().take(room) {
                let (delivery, row) = (keys::delivery_of(&key), postcard::from_bytes::<DeliveryRow>(&value));
                found.count += 1;
                after = Some(key);
                let (Some(delivery), Ok(row)) = (delivery, row) else { continue };
                found.lanes.entry((delivery.handler, row.lane)).or_default().add(delivery.position, row);
            }
            if is_over || found.is_complete {
                return Ok(found);
            }
        }
    }

    fn blocked_lane(
        &self,
        first_number: Option<u64>,
        handler: HandlerName,
        lane: Lane,
        may_suspect: bool,
    ) -> Option<Blocked> {
        let (position, row) = lane.first?;
        let stored = StoredRecord::read(&self.0.statuses.log, position).ok()??;
        let key = stored.event(position)?.key().to_owned();
        let state = match first_number {
            None => DeliveryState::of(&row),
            Some(first) => {
                let next = self.0.statuses.views.get(&keys::next_number(&handler, row.lane)).ok()?;
                let next = next.and_then(|value| keys::value_number(&value)).unwrap_or(first);
                DeliveryState::in_sequence(&row, next)
            }
        };
        let suspicion = Suspicion::of(state, row.spent, lane.behind).filter(|_| may_suspect && !row.parallel);
        let suspected = suspicion.and_then(|suspicion| {
            Some(Suspected { suspicion, behind: lane.behind, types: self.types_at(&lane.named).ok()? })
        });
        let first = DeliveryId { handler, position };
        Some(Blocked {
            accepted_at_ms: stored.record.at_ms(),
            failure: self.last_failure(&first, row.carried.failure).ok()?.map(|last| last.failure),
            first,
            key,
            state,
            behind: lane.behind,
            positions: lane.named,
            suspected,
        })
    }
}

/// The lanes of the open deliveries that were examined.
struct Examined {
    lanes: BTreeMap<(HandlerName, KeyHash), Lane>,
    count: usize,
    is_complete: bool,
}

/// A lane during the scan of the rows, in order of position.
#[derive(Default)]
struct Lane {
    first: Option<(Position, DeliveryRow)>,
    behind: usize,
    named: Vec<Position>,
}

impl Lane {
    fn add(&mut self, position: Position, row: DeliveryRow) {
        let rank = row.rank(position);
        let behind = match &mut self.first {
            Some((first, first_row)) if first_row.rank(*first) < rank => position,
            first => match first.replace((position, row)) {
                Some((behind, _)) => behind,
                None => return,
            },
        };
        self.behind += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(behind);
        }
    }
}

/// The events that resolve a delivery go into one record.
fn check_resolving(events: &[Event]) -> Result<(), Refusal> {
    let bytes: usize = events.iter().map(Event::encoded_size).sum();
    if bytes > RESOLVING_BYTES_MAX {
        let reason =
            format!("the events are {bytes} bytes together; at most {RESOLVING_BYTES_MAX} go into one request");
        return Err(Refusal::Correction(reason));
    }
    Ok(())
}

fn correction(event: &Event, data: NewData) -> Result<Correction, Refusal> {
    match data {
        NewData::Whole { data, data_content_type } => Ok(Correction { data, data_content_type, event: None }),
        NewData::Patch(patch) => corrections::patched(event, patch.get()),
    }
}
