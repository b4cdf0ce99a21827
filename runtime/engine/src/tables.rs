//! The tables of the views, as data: the byte that their keys begin with, and whether their entries share packed pages. Each
//! says what follows that byte in a key, then what the value is; both are made in `keys.rs`.
//!
//! All of it is a stored format: a name that is in use keeps its table and its `packed`.

use weirgate_views::{Table, Tables};

/// All tables.
pub const TABLES: Tables = Tables::new(&[
    ANCHORS,
    HOSTS,
    OFFERS,
    DEPLOYMENTS,
    EVENTS,
    NUMBERS,
    HANDLERS,
    SPILLED,
    LAGGING,
    MODULES,
    DELIVERIES,
    QUEUE,
    RUNTIME,
    STATES,
    STATE_VERSIONS,
    PARTS,
    DEAD_LETTERS,
    TIMERS_BY_TIME,
    TIMERS,
    VERSIONS,
    REMOVALS,
    REMOVED,
    REPLAYS,
    REPLAYING,
    REPAIRS,
    ANSWERS,
]);

/// No more of the key; the value is [`weirgate_core::Anchors`], postcard.
pub const ANCHORS: Table = Table { name: b'a', packed: false };
/// Host, as one handler calls it (`<handler>@<host>`) or as all do; until when its breaker is open, in elapsed time, and the number
/// of consecutive openings, postcard.
pub const HOSTS: Table = Table { name: b'b', packed: false };
/// Handler, 0, lane, key; a correction that waits for the lane to be reloaded: a position, 8 bytes.
pub const OFFERS: Table = Table { name: b'C', packed: true };
/// Handler, 0, position; no value: a deployment that still matters.
pub const DEPLOYMENTS: Table = Table { name: b'd', packed: false };
/// No more of the key; the number of events in the log, 8 bytes.
pub const EVENTS: Table = Table { name: b'e', packed: false };
/// Handler, 0, lane; the number that is next in its sequence, 8 bytes.
pub const NUMBERS: Table = Table { name: b'G', packed: true };
/// Handler; [`weirgate_core::HandlerRow`], postcard.
pub const HANDLERS: Table = Table { name: b'h', packed: false };
/// Handler, 0, lane, rank, position; no value: the delivery is on disk.
pub const SPILLED: Table = Table { name: b'K', packed: true };
/// Handler, only where it lags; how far it has scanned: a position, and the number of events up to there, 8 bytes each.
pub const LAGGING: Table = Table { name: b'l', packed: false };
/// 32 bytes of SHA-256; no value: a `Deployed` record names the module.
pub const MODULES: Table = Table { name: b'm', packed: false };
/// Handler, 0, position; [`weirgate_core::DeliveryRow`], postcard.
pub const DELIVERIES: Table = Table { name: b'O', packed: true };
/// Handler, 0, retry stage, when due, position; the lane: a delivery on disk that waits for its time.
pub const QUEUE: Table = Table { name: b'Q', packed: true };
/// No more of the key; [`weirgate_types::RuntimeVersion`], postcard: the newest that the log names.
pub const RUNTIME: Table = Table { name: b'r', packed: false };
/// Handler, 0, length of key, key, name; a state value, see [`crate::keys::Stored`].
pub const STATES: Table = Table { name: b's', packed: false };
/// Handler, 0, key; the version of the key's state, 4 bytes. Absent where that is the first.
pub const STATE_VERSIONS: Table = Table { name: b'S', packed: true };
/// Subject, 0, handler; a status part, JSON.
pub const PARTS: Table = Table { name: b't', packed: false };
/// Handler, 0, position; the position of the record that made the dead letter.
pub const DEAD_LETTERS: Table = Table { name: b'X', packed: true };
/// When due, then as for `TIMERS`; no value: timers in the order of their time.
pub const TIMERS_BY_TIME: Table = Table { name: b'Y', packed: true };
/// Handler, 0, kind, length of key, key, name; [`crate::keys::TimerRow`], postcard.
pub const TIMERS: Table = Table { name: b'Z', packed: true };
/// Handler, 0, position of the `Deployed`, the newest first; [`crate::versions::VersionRow`], postcard.
pub const VERSIONS: Table = Table { name: b'V', packed: true };
/// Handler; the position of its `Removed`: its rows are being deleted.
pub const REMOVALS: Table = Table { name: b'x', packed: false };
/// Handler; the position of its newest `Removed`.
pub const REMOVED: Table = Table { name: b'y', packed: false };
/// Position of the `ReplayRequested`, the newest first; [`crate::replays::ReplayRow`], postcard.
pub const REPLAYS: Table = Table { name: b'p', packed: false };
/// Handler; the position of the replay whose plan is approved and that has not ended.
pub const REPLAYING: Table = Table { name: b'f', packed: false };
/// Replay, whether it is an undo, key hash, handler, 0, position of the `Repaired`; no value.
pub const REPAIRS: Table = Table { name: b'P', packed: true };
/// Handler, 0, position of the delivery's event, position of the `ReplayAnswered`; the replay: a position, 8 bytes.
pub const ANSWERS: Table = Table { name: b'A', packed: true };

#[cfg(test)]
mod tests {
    use super::*;

    /// Data directories hold packed pages for exactly these.
    #[test]
    fn tables_are_stored_as_they_always_were() {
        let of = |matches: fn(&[u8]) -> bool| -> Vec<u8> { (0..=u8::MAX).filter(|name| matches(&[*name])).collect() };
        assert_eq!(of(|key| TABLES.hold(key)), b"ACGKOPQSVXYZabdefhlmprstxy");
        assert_eq!(of(|key| TABLES.is_packed(key)), b"ACGKOPQSVXYZ");
    }
}
