//! The name of a replay, or of its undo: `42`, `42-undo`.

use std::{fmt, str::FromStr};

use weirgate_types::{IdError, Position};

/// The end of the name of an undo.
const UNDO: &str = "-undo";

/// A replay, or its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanId {
    /// The position of its `ReplayRequested`.
    pub replay: Position,
    /// Whether it is about what would be without the replay's repairs.
    pub is_undo: bool,
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.replay, if self.is_undo { UNDO } else { "" })
    }
}

impl FromStr for PlanId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (position, is_undo) = text.strip_suffix(UNDO).map_or((text, false), |position| (position, true));
        let is_number = position.bytes().all(|byte| byte.is_ascii_digit());
        let position = position.parse().ok().filter(|_| is_number);
        let wrong = || IdError::Replay(text.chars().take(80).collect());
        Ok(Self { replay: Position(position.ok_or_else(wrong)?), is_undo })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for (text, replay, is_undo) in [("42", 42, false), ("42-undo", 42, true), ("0", 0, false)] {
            let id = PlanId { replay: Position(replay), is_undo };
            assert_eq!((text.parse(), id.to_string().as_str()), (Ok(id), text));
        }
        for text in ["", "-undo", "+1", "1 ", "a", "1-undone", "18446744073709551616"] {
            assert!(text.parse::<PlanId>().is_err(), "{text:?}");
        }
    }
}
