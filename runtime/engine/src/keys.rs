//! The keys and values of the views' entries. Which tables there are, `tables.rs` declares. The values can all be derived from the
//! log again.

use serde::{Deserialize, Serialize};
use weirgate_core::{DeliveryRow, Rank, Wait};
use weirgate_types::{CalledHost, DeliveryId, Digest, FIRST_STATE_VERSION, HandlerName, KeyHash, Position, TimerId};
use weirgate_views::Table;

use crate::{
    StorageError,
    replays::RepairId,
    tables::{
        ANSWERS, DEAD_LETTERS, DELIVERIES, DEPLOYMENTS, HANDLERS, HOSTS, LAGGING, MODULES, NUMBERS, OFFERS, PARTS,
        QUEUE, REMOVALS, REMOVED, REPAIRS, REPLAYING, REPLAYS, SPILLED, STATE_VERSIONS, STATES, TIMERS, TIMERS_BY_TIME,
        VERSIONS,
    },
};

/// Values longer than this stay in the log; the view holds where.
const INLINE_BYTES_MAX: usize = 3 * 1024;

/// All deployments of a handler that are still needed.
pub fn deployments_of(name: &HandlerName) -> Vec<u8> {
    [DEPLOYMENTS.prefix(), name.as_str().as_bytes(), &[0]].concat()
}

pub fn deployment(name: &HandlerName, position: Position) -> Vec<u8> {
    [deployments_of(name), position_value(position)].concat()
}

/// All corrections for a handler that wait for their lanes to be reloaded.
pub fn offers_of(name: &HandlerName) -> Vec<u8> {
    [OFFERS.prefix(), name.as_str().as_bytes(), &[0]].concat()
}

pub fn offer(name: &HandlerName, lane: KeyHash, key: KeyHash) -> Vec<u8> {
    [offers_of(name).as_slice(), &lane.0.to_be_bytes(), &key.0.to_be_bytes()].concat()
}

/// The lane and the key of a row of [`offers_of`].
pub fn offer_of(key: &[u8]) -> Option<(KeyHash, KeyHash)> {
    let (head, key) = key.split_last_chunk::<8>()?;
    let (_, lane) = head.split_last_chunk::<8>()?;
    Some((KeyHash(u64::from_be_bytes(*lane)), KeyHash(u64::from_be_bytes(*key))))
}

pub fn handler(name: &HandlerName) -> Vec<u8> {
    [HANDLERS.prefix(), name.as_str().as_bytes()].concat()
}

pub fn lagging(name: &HandlerName) -> Vec<u8> {
    [LAGGING.prefix(), name.as_str().as_bytes()].concat()
}

/// A module that a handler was deployed with, now or before.
pub fn deployed_module(digest: Digest) -> Vec<u8> {
    [MODULES.prefix(), digest.0.as_slice()].concat()
}

/// The handler of a row of [`HANDLERS`], [`LAGGING`] or [`REMOVALS`].
pub fn handler_of(key: &[u8]) -> Option<HandlerName> {
    std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

pub fn delivery(delivery: &DeliveryId) -> Vec<u8> {
    by_position(DELIVERIES, delivery)
}

pub fn dead_letter(delivery: &DeliveryId) -> Vec<u8> {
    by_position(DEAD_LETTERS, delivery)
}

/// All versions of a handler, the newest first.
pub fn versions_of(name: &HandlerName) -> Vec<u8> {
    [VERSIONS.prefix(), name.as_str().as_bytes(), &[0]].concat()
}

/// In digits, as in [`spilled`].
pub fn version(name: &HandlerName, position: Position) -> Vec<u8> {
    [versions_of(name).as_slice(), format!("{:020}", u64::MAX - position.0).as_bytes()].concat()
}

/// The position of a row of [`versions_of`].
pub fn version_of(key: &[u8]) -> Option<Position> {
    let digits = std::str::from_utf8(key.get(key.len().checked_sub(20)?..)?).ok()?;
    Some(Position(u64::MAX - digits.parse::<u64>().ok()?))
}

/// A handler whose rows are being deleted.
pub fn removal(name: &HandlerName) -> Vec<u8> {
    [REMOVALS.prefix(), name.as_str().as_bytes()].concat()
}

/// When a handler was removed last.
pub fn removed(name: &HandlerName) -> Vec<u8> {
    [REMOVED.prefix(), name.as_str().as_bytes()].concat()
}

/// All replays, the newest first.
pub fn replays() -> &'static [u8] {
    REPLAYS.prefix()
}

/// In digits, as in [`spilled`].
pub fn replay(replay: Position) -> Vec<u8> {
    [replays(), format!("{:020}", u64::MAX - replay.0).as_bytes()].concat()
}

/// The replay of a row of [`replays`].
pub fn replay_of(key: &[u8]) -> Option<Position> {
    version_of(key)
}

/// The replay that is being applied to a handler.
pub fn replaying(name: &HandlerName) -> Vec<u8> {
    [REPLAYING.prefix(), name.as_str().as_bytes()].concat()
}

/// All repairs of a replay.
pub fn repairs_of(replay: Position) -> Vec<u8> {
    [REPAIRS.prefix(), &position_value(replay)].concat()
}

/// Those of a key at all handlers, or their undoing.
pub fn repairs_of_key(replay: Position, is_undo: bool, key: KeyHash) -> Vec<u8> {
    [repairs_of(replay).as_slice(), &[u8::from(is_undo)], &key.0.to_be_bytes()].concat()
}

/// Those of a key at one handler: a receiver that is folded again may have keys of the same names.
pub fn repairs_of_lane(replay: Position, is_undo: bool, (handler, key): (&HandlerName, KeyHash)) -> Vec<u8> {
    [repairs_of_key(replay, is_undo, key).as_slice(), handler.as_str().as_bytes(), &[0]].concat()
}

pub fn repair(replay: Position, RepairId { is_undo, key, handler, position }: &RepairId) -> Vec<u8> {
    [repairs_of_lane(replay, *is_undo, (handler, *key)), position_value(*position)].concat()
}

/// The repair of a row of [`repairs_of`].
pub fn repair_of(row: &[u8]) -> Option<RepairId> {
    let (is_undo, row) = row.get(repairs_of(Position::ZERO).len()..)?.split_first()?;
    let (key, row) = row.split_first_chunk::<8>()?;
    let (handler, position) = row.split_last_chunk::<8>()?;
    let handler = std::str::from_utf8(handler.strip_suffix(&[0])?).ok()?.parse().ok()?;
    let [key, position] = [key, position].map(|bytes| u64::from_be_bytes(*bytes));
    Some(RepairId { is_undo: *is_undo == 1, key: KeyHash(key), handler, position: Position(position) })
}

/// All answers that replays got for a handler's deliveries.
pub fn answers_for(name: &HandlerName) -> Vec<u8> {
    [ANSWERS.prefix(), name.as_str().as_bytes(), &[0]].concat()
}

/// Those for a delivery.
pub fn answers_of(delivery: &DeliveryId) -> Vec<u8> {
    by_position(ANSWERS, delivery)
}

pub fn answer(delivery: &DeliveryId, position: Position) -> Vec<u8> {
    [answers_of(delivery), position_value(position)].concat()
}

/// The rows that a removed handler leaves, as prefixes of their keys; its timers first, so that none fires.
pub fn left_by(name: &HandlerName) -> [Vec<u8>; 11] {
    let of = |table: Table| [table.prefix(), name.as_str().as_bytes(), &[0]].concat();
    [TIMERS, DELIVERIES, SPILLED, QUEUE, OFFERS, NUMBERS, DEAD_LETTERS, VERSIONS, ANSWERS, STATE_VERSIONS, STATES]
        .map(of)
}

/// All open deliveries of a handler.
pub fn deliveries_of(name: &HandlerName) -> Vec<u8> {
    [DELIVERIES.prefix(), name.as_str().as_bytes(), &[0]].concat()
}

/// All dead letters of a handler.
pub fn dead_letters_of(name: &HandlerName) -> Vec<u8> {
    [DEAD_LETTERS.prefix(), name.as_str().as_bytes(), &[0]].concat()
}

fn by_position(table: Table, delivery: &DeliveryId) -> Vec<u8> {
    [table.prefix(), delivery.handler.as_str().as_bytes(), &[0], &delivery.position.0.to_be_bytes()].concat()
}

/// The delivery of a row of [`DELIVERIES`] or [`DEAD_LETTERS`].
pub fn delivery_of(key: &[u8]) -> Option<DeliveryId> {
    let (head, position) = key.split_last_chunk::<8>()?;
    let name = head.get(1..)?.strip_suffix(&[0])?;
    let handler = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some(DeliveryId { handler, position: Position(u64::from_be_bytes(*position)) })
}

pub fn host(host: &CalledHost) -> Vec<u8> {
    [HOSTS.prefix(), host.to_string().as_bytes()].concat()
}

/// The host of a row of [`HOSTS`].
pub fn host_of(key: &[u8]) -> Option<CalledHost> {
    std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

/// The position that a row of a spilled lane, or of an answer, ends with.
pub fn last_position(key: &[u8]) -> Option<Position> {
    key.last_chunk::<8>().map(|position| Position(u64::from_be_bytes(*position)))
}

/// A spilled lane.
pub fn spilled_lane(handler: &HandlerName, lane: KeyHash) -> Vec<u8> {
    [SPILLED.prefix(), handler.as_str().as_bytes(), &[0], &lane.0.to_be_bytes()].concat()
}

/// A delivery in its lane on disk: in the order of [`weirgate_core::Rank`].
pub fn spilled(delivery: &DeliveryId, row: &DeliveryRow) -> Vec<u8> {
    let Rank { is_behind, era, number, position } = row.rank(delivery.position);
    let (flag, is_numbered) = ([u8::from(is_behind)], [u8::from(number.is_some())]);
    // In digits: with neighbours that share four bytes of 255 and continue, sled's backward iteration fails.
    let number = format!("{:020}", number.unwrap_or(0));
    let lane = spilled_lane(&delivery.handler, row.lane);
    let era = format!("{:020}", era.0);
    [lane.as_slice(), &flag, era.as_bytes(), &is_numbered, number.as_bytes(), &position_value(position)].concat()
}

/// The next number of a lane.
pub fn next_number(handler: &HandlerName, lane: KeyHash) -> Vec<u8> {
    [NUMBERS.prefix(), handler.as_str().as_bytes(), &[0], &lane.0.to_be_bytes()].concat()
}

pub fn number_value(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub fn value_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// The spilled deliveries that wait for a time: those of one retry stage, or those at gaps.
pub fn queue(handler: &HandlerName, wait: Wait) -> Vec<u8> {
    let queue = match wait {
        Wait::Retry { stage } => stage,
        Wait::Gap => u8::MAX,
    };
    [QUEUE.prefix(), handler.as_str().as_bytes(), &[0, queue]].concat()
}

pub fn queued(delivery: &DeliveryId, wait: Wait, due_ms: u64) -> Vec<u8> {
    [queue(&delivery.handler, wait), due_ms.to_be_bytes().to_vec(), position_value(delivery.position)].concat()
}

/// When the delivery of a row of [`queue`] is due.
pub fn queued_due_ms(key: &[u8]) -> Option<u64> {
    let (due_ms, _) = key.get(key.len().checked_sub(16)?..)?.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*due_ms))
}

pub fn lane_value(lane: KeyHash) -> Vec<u8> {
    lane.0.to_be_bytes().to_vec()
}

pub fn value_lane(value: &[u8]) -> Option<KeyHash> {
    Some(KeyHash(u64::from_be_bytes(value.try_into().ok()?)))
}

/// A timer: when it is due, and where the log holds its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerRow {
    pub due_ms: u64,
    /// The record, and the index among its timer writes or its manifest's schedules.
    pub position: Position,
    pub index: u32,
    /// The version that set it; a repair's is the repair's position, so that it is that in force then.
    pub version: Position,
}

impl TimerRow {
    pub fn decode(value: &[u8]) -> Result<Self, StorageError> {
        postcard::from_bytes(value).map_err(StorageError::undecodable("a timer"))
    }
}

/// The source of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerKind {
    Handler,
    Schedule,
}

/// All timers of a handler of one kind.
pub fn timers(handler: &HandlerName, kind: TimerKind) -> Vec<u8> {
    let kind = u8::from(kind == TimerKind::Schedule);
    [TIMERS.prefix(), handler.as_str().as_bytes(), &[0, kind]].concat()
}

/// All of them that belong to a key.
pub fn timers_of_key(handler: &HandlerName, kind: TimerKind, key: &str) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [timers(handler, kind).as_slice(), &length, key.as_bytes()].concat()
}

pub fn timer(id: &TimerId, kind: TimerKind) -> Vec<u8> {
    [timers_of_key(&id.handler, kind, &id.key).as_slice(), id.name.as_bytes()].concat()
}

/// The row of a timer in the order of time.
pub fn timer_by_time(due_ms: u64, timer: &[u8]) -> Vec<u8> {
    [TIMERS_BY_TIME.prefix(), &due_ms.to_be_bytes(), timer].concat()
}

/// When the timer of a row of [`TIMERS_BY_TIME`] is due, and its own row.
pub fn timer_of(key: &[u8]) -> Option<(u64, &[u8])> {
    let (due_ms, timer) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*due_ms), timer))
}

/// The timer of this row.
pub fn timer_id(row: &[u8]) -> Option<(TimerId, TimerKind)> {
    let end = row.iter().position(|byte| *byte == 0)?;
    let handler = std::str::from_utf8(row.get(1..end)?).ok()?.parse().ok()?;
    let (kind, rest) = row.get(end + 1..)?.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (key, name) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let [key, name] = [key, name].map(|part| String::from_utf8_lossy(part).into_owned());
    let kind = if *kind == 1 { TimerKind::Schedule } else { TimerKind::Handler };
    Some((TimerId { handler, key, name }, kind))
}

/// All state of a handler and key.
pub fn states(handler: &HandlerName, key: &str) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [STATES.prefix(), handler.as_str().as_bytes(), &[0], &length, key.as_bytes()].concat()
}

/// The version of a key's state.
pub fn state_version(handler: &HandlerName, key: &str) -> Vec<u8> {
    [STATE_VERSIONS.prefix(), handler.as_str().as_bytes(), &[0], key.as_bytes()].concat()
}

pub fn state_version_value(version: u32) -> Vec<u8> {
    version.to_be_bytes().to_vec()
}

/// A key without a row has state of the first version.
pub fn value_state_version(value: Option<&[u8]>) -> Option<u32> {
    let Some(value) = value else { return Some(FIRST_STATE_VERSION) };
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// All parts of a subject's status.
pub fn parts(subject: &str) -> Vec<u8> {
    [PARTS.prefix(), subject.as_bytes(), &[0]].concat()
}

pub fn part(subject: &str, handler: &HandlerName) -> Vec<u8> {
    [parts(subject).as_slice(), handler.as_str().as_bytes()].concat()
}

pub fn position_value(position: Position) -> Vec<u8> {
    position.0.to_be_bytes().to_vec()
}

pub fn value_position(value: &[u8]) -> Option<Position> {
    Some(Position(u64::from_be_bytes(value.try_into().ok()?)))
}

/// How far a handler has scanned, and the number of events up to there.
pub fn scanned_value(scanned: Position, events: u64) -> Vec<u8> {
    [scanned.0.to_be_bytes(), events.to_be_bytes()].concat()
}

pub fn value_scanned(value: &[u8]) -> Option<(Position, u64)> {
    let (scanned, events) = value.split_first_chunk::<8>()?;
    Some((Position(u64::from_be_bytes(*scanned)), u64::from_be_bytes(events.try_into().ok()?)))
}

/// A state value in the view: inline, or by its location in the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    Inline(&'a [u8]),
    /// The `index`-th state write of the commit at `position`.
    InLog {
        position: Position,
        index: u32,
    },
}

impl<'a> Stored<'a> {
    pub fn new(value: &'a [u8], position: Position, index: usize) -> Self {
        // A record holds fewer writes than fit into 32 bits: each takes more than a byte.
        match u32::try_from(index) {
            Ok(index) if value.len() > INLINE_BYTES_MAX => Self::InLog { position, index },
            _ => Self::Inline(value),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inline(value) => [&[0], *value].concat(),
            Self::InLog { position, index } => {
                [&[1], position.0.to_be_bytes().as_slice(), &index.to_be_bytes()].concat()
            }
        }
    }

    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, value) => Some(Self::Inline(value)),
            (1, place) => {
                let (position, index) = place.split_first_chunk::<8>()?;
                let position = Position(u64::from_be_bytes(*position));
                Some(Self::InLog { position, index: u32::from_be_bytes(index.try_into().ok()?) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use weirgate_core::Sequence;

    use super::*;

    #[test]
    fn a_repair_is_read_from_its_row() {
        let [handler, longer] = ["report", "report-b"].map(|name| name.parse::<HandlerName>().expect("a name"));
        let (replay, key, position) = (Position(u64::MAX - 1), KeyHash(0), Position(0xff00_00ff));
        for is_undo in [false, true] {
            let id = RepairId { is_undo, key, handler: handler.clone(), position };
            let row = repair(replay, &id);
            assert_eq!(repair_of(&row), Some(id));
            assert!(row.starts_with(&repairs_of_key(replay, is_undo, key)));
            assert!(!row.starts_with(&repairs_of_key(replay, !is_undo, key)));
            let other = repair(replay, &RepairId { is_undo, key, handler: longer.clone(), position });
            assert!(!other.starts_with(&repairs_of_lane(replay, is_undo, (&handler, key))));
        }
        assert_eq!(repair_of(&repairs_of(replay)), None);
    }

    #[test]
    fn stored_values_are_read_back() {
        let long = [7; INLINE_BYTES_MAX + 1];
        for stored in [Stored::new(b"", Position(1), 0), Stored::new(&long, Position(9), 3)] {
            assert_eq!(Stored::decode(&stored.encode()).as_ref(), Some(&stored));
        }
        assert_eq!(Stored::new(&long, Position(9), 3), Stored::InLog { position: Position(9), index: 3 });
        assert_eq!(Stored::decode(&[]), None);
        assert_eq!(Stored::decode(&[1, 2]), None);
    }

    #[test]
    fn keys_of_different_rows_differ() {
        let name: HandlerName = "a".parse().expect("a name");
        assert!(!states(&name, "k2").starts_with(&states(&name, "k")));
        assert!(!parts("order/o-12").starts_with(&parts("order/o-1")));
        let delivery_id = DeliveryId { handler: name, position: Position(258) };
        assert_eq!(delivery_of(&delivery(&delivery_id)), Some(delivery_id.clone()));
        assert_eq!(queued_due_ms(&queued(&delivery_id, Wait::Retry { stage: 2 }, 77)), Some(77));
        let id = TimerId { handler: delivery_id.handler.clone(), key: "order/o-1".into(), name: "deadline".into() };
        let at = |position| version(&delivery_id.handler, Position(position));
        assert_eq!((at(9) < at(8), version_of(&at(8))), (true, Some(Position(8))), "the newest first");
        for kind in [TimerKind::Handler, TimerKind::Schedule] {
            let by_time = timer_by_time(5, &timer(&id, kind));
            let (due_ms, row) = timer_of(&by_time).expect("a row");
            assert_eq!((due_ms, timer_id(row)), (5, Some((id.clone(), kind))));
        }
    }

    #[test]
    fn rows_of_a_spilled_lane_are_sorted_by_rank() {
        let handler: HandlerName = "a".parse().expect("a name");
        let row = |number, attempt| DeliveryRow {
            sequence: Some(Sequence { number, due_ms: 0 }),
            attempt,
            ..DeliveryRow::new(KeyHash(1), KeyHash(1))
        };
        let rows = [row(Some(9), 1), row(None, 0), row(Some(0), 0), row(Some(256), 0), row(Some(256), 0)];
        let key =
            |(position, row)| spilled(&DeliveryId { handler: handler.clone(), position: Position(position) }, row);
        let in_order: Vec<_> = [500, 400, 300, 200, 255].into_iter().zip(&rows).map(key).collect();
        assert!(in_order.is_sorted(), "{in_order:?}");
        assert_eq!(last_position(&in_order[0]), Some(Position(500)));
    }
}
