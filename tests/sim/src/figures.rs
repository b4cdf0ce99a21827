//! The result of a history: its figures, and the rule that it violated.

use crate::Violation;

/// Counts of what happened in a history.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub records: u64,
    pub attempts: u64,
    pub crashes: u64,
    /// Those while a batch was being written.
    pub crashes_in_sync: u64,
    pub faults: u64,
    /// Keys that were repaired.
    pub repairs: u64,
    /// Those of receivers that were folded again, or whose folding was taken back.
    pub folds: u64,
    /// Looks at a key that went on from the one before.
    pub gone_on: u64,
    pub trace: u64,
}

#[derive(Debug)]
pub struct Outcome {
    pub figures: Figures,
    pub violation: Option<Violation>,
}
