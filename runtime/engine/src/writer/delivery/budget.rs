//! How much work a pass of the writer does before commands are taken again. The rest is left to the next pass, so whatever
//! is due, a query or an event waits for no longer than one pass.

use std::{collections::VecDeque, time::Duration};

use weirgate_core::Action;

/// Maximum reads of a pass, in rows and in positions of the log; a step that was begun is finished.
pub const PASS_WORK_MAX: usize = 4_096;
/// How long a pass takes commands.
pub const PASS_TIME_MAX: Duration = Duration::from_millis(5);

/// How much is read in one step; the rest is read in the next one.
#[derive(Debug, Clone, Copy)]
pub struct StepSizes {
    /// Minimum number of positions of one scan.
    pub scan_positions: u64,
    /// Maximum number of deliveries of a lane in one reload.
    pub lane_rows: usize,
    /// Maximum number of due deliveries in one reload, per retry stage.
    pub stage_due: usize,
    /// Maximum number of timers that fire in one step.
    pub timers: usize,
}

impl Default for StepSizes {
    fn default() -> Self {
        Self { scan_positions: 2_048, lane_rows: 64, stage_due: 64, timers: 128 }
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Budget {
    pub steps: StepSizes,
    spent: usize,
    /// While the log is replayed no client waits, and the machine needs each answer at once.
    pub is_unlimited: bool,
    deferred: VecDeque<Action>,
}

impl Budget {
    /// Begins a pass. Returns the actions that were left to it.
    pub fn begin(&mut self) -> VecDeque<Action> {
        self.spent = 0;
        std::mem::take(&mut self.deferred)
    }

    pub fn spend(&mut self, work: usize) {
        self.spent = self.spent.saturating_add(work);
    }

    /// How much this pass has read.
    #[cfg(feature = "sim")]
    pub fn spent(&self) -> usize {
        self.spent
    }

    pub fn is_used_up(&self) -> bool {
        self.spent >= PASS_WORK_MAX && !self.is_unlimited
    }

    /// Leaves an action to the next pass.
    pub fn defer(&mut self, action: Action) {
        self.deferred.push_back(action);
    }

    /// Drops actions that were left to the next pass.
    pub fn forget(&mut self, is_gone: impl Fn(&Action) -> bool) {
        self.deferred.retain(|action| !is_gone(action));
    }

    /// Whether an action was left to the next pass, which then begins at once.
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }
}
