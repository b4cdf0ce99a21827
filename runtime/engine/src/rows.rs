//! The keys and values of the view: which row holds what. The values can all be derived from the log again.
//!
//! | first byte | key | value |
//! | --- | --- | --- |
//! | `d` | 16 bytes of SHA-256 over source, 0, id | the event's position, 8 bytes |
//! | `h` | handler | [`weirgate_core::HandlerRow`], postcard |
//! | `l` | handler, only where it lags | how far it has scanned: a position, 8 bytes |
//! | `o` | handler, 0, position | [`weirgate_core::DeliveryRow`], postcard |
//! | `s` | handler, 0, length of key, key, name | a state value, see [`Stored`] |
//! | `t` | subject, 0, handler | a status part, JSON |
//! | `x` | handler, 0, position | the position of the commit that made the dead letter |

use sha2::{Digest as _, Sha256};
use weirgate_types::{DeliveryId, HandlerName, Position};

/// Rows that come out the same when they are written again from the log, whatever later rows are there already: all but those
/// that the machine is restored from.
pub const EARLY: &[u8] = b"dstx";

/// Values longer than this stay in the log; the view holds where.
const INLINE_BYTES_MAX: usize = 3 * 1024;

pub const HANDLERS: &[u8] = b"h";
pub const DELIVERIES: &[u8] = b"o";
pub const DEAD_LETTERS: &[u8] = b"x";
pub const LAGGING: &[u8] = b"l";

pub fn identity(source: &str, id: &str) -> Vec<u8> {
    let hash = Sha256::new().chain_update(source).chain_update([0]).chain_update(id).finalize();
    [b"d", hash.get(..16).unwrap_or_default()].concat()
}

pub fn handler(name: &HandlerName) -> Vec<u8> {
    [HANDLERS, name.as_str().as_bytes()].concat()
}

pub fn lagging(name: &HandlerName) -> Vec<u8> {
    [LAGGING, name.as_str().as_bytes()].concat()
}

/// The handler that a row of [`HANDLERS`] or [`LAGGING`] is of.
pub fn handler_of(key: &[u8]) -> Option<HandlerName> {
    std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

pub fn delivery(delivery: &DeliveryId) -> Vec<u8> {
    by_position(DELIVERIES, delivery)
}

pub fn dead_letter(delivery: &DeliveryId) -> Vec<u8> {
    by_position(DEAD_LETTERS, delivery)
}

/// All dead letters of a handler.
pub fn dead_letters_of(name: &HandlerName) -> Vec<u8> {
    [DEAD_LETTERS, name.as_str().as_bytes(), &[0]].concat()
}

fn by_position(tree: &[u8], delivery: &DeliveryId) -> Vec<u8> {
    [tree, delivery.handler.as_str().as_bytes(), &[0], &delivery.position.0.to_be_bytes()].concat()
}

/// The delivery that a row of [`DELIVERIES`] or [`DEAD_LETTERS`] is of.
pub fn delivery_of(key: &[u8]) -> Option<DeliveryId> {
    let (head, position) = key.split_last_chunk::<8>()?;
    let name = head.get(1..)?.strip_suffix(&[0])?;
    let handler = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some(DeliveryId { handler, position: Position(u64::from_be_bytes(*position)) })
}

/// All state of a handler and key.
pub fn states(handler: &HandlerName, key: &str) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [b"s", handler.as_str().as_bytes(), &[0], &length, key.as_bytes()].concat()
}

/// All parts of a subject's status.
pub fn parts(subject: &str) -> Vec<u8> {
    [b"t", subject.as_bytes(), &[0]].concat()
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

/// A state value in the view: itself, or where in the log it stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    Inline(&'a [u8]),
    /// The `index`-th state write of the commit at `position`.
    InLog {
        position: Position,
        index: u16,
    },
}

impl<'a> Stored<'a> {
    pub fn new(value: &'a [u8], position: Position, index: usize) -> Self {
        match u16::try_from(index) {
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
                Some(Self::InLog { position, index: u16::from_be_bytes(index.try_into().ok()?) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read() {
        let long = [7; INLINE_BYTES_MAX + 1];
        for stored in [Stored::new(b"", Position(1), 0), Stored::new(&long, Position(9), 3)] {
            assert_eq!(Stored::decode(&stored.encode()).as_ref(), Some(&stored));
        }
        assert_eq!(Stored::new(&long, Position(9), 3), Stored::InLog { position: Position(9), index: 3 });
        assert_eq!(Stored::decode(&[]), None);
        assert_eq!(Stored::decode(&[1, 2]), None);
    }

    #[test]
    fn keys_of_different_things_differ() {
        let name: HandlerName = "a".parse().expect("a name");
        assert_ne!(identity("a", "bc"), identity("ab", "c"));
        assert!(!states(&name, "k2").starts_with(&states(&name, "k")));
        assert!(!parts("order/o-12").starts_with(&parts("order/o-1")));
        let delivery_id = DeliveryId { handler: name, position: Position(258) };
        assert_eq!(delivery_of(&delivery(&delivery_id)), Some(delivery_id));
    }
}
