//! Seeded bugs, for the simulator to find (`tests/sim`, `docs/simulation.md`). Only the simulator turns on the feature
//! `bugs`; without it `bug!` expands to `false` and this file holds nothing else.

#[cfg(not(feature = "bugs"))]
macro_rules! bug {
    ($which:ident) => {
        false
    };
}

#[cfg(feature = "bugs")]
macro_rules! bug {
    ($which:ident) => {
        $crate::bugs::is_on($crate::bugs::Bug::$which)
    };
}

pub(crate) use bug;

#[cfg(feature = "bugs")]
pub use switches::{ALL, Bug, is_on, switch};

#[cfg(feature = "bugs")]
mod switches {
    use std::cell::Cell;

    thread_local! {
        /// The seeded bug of this thread's machines. Kept here because the machine itself knows no threads.
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    macro_rules! table {
        ($(($name:ident, $what:literal)),* $(,)?) => {
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Bug { $($name),* }

            /// All seeded bugs, with descriptions.
            pub const ALL: &[(Bug, &str)] = &[$((Bug::$name, $what)),*];
        };
    }

    table! {
        (KeyOrderLost, "deliveries of a key do not wait for each other"),
        (LineGoesOn, "a failure in a handler with handler order stops only its key"),
        (EmitsAtOnce, "a delivery that overtakes emits at once"),
        (ReleasedAgain, "emissions that are being released are released again"),
        (RunsBeside, "the first of a lane runs concurrently with a running one"),
        (HoldGoesOn, "a key continues after a dead letter that should hold it"),
        (HeldIsForgotten, "a held dead letter is closed"),
        (WaitingRuns, "a delivery that awaits a correction runs again without one"),
        (EarlyCorrectionLost, "a correction that arrives before it is needed is forgotten"),
        (SpillNotCorrected, "a correction does not reach spilled deliveries"),
        (CorrectsOtherKeys, "a correction applies to every key of a lane"),
        (CorrectsLaterOnes, "a correction of spilled deliveries applies to later ones too"),
        (CorrectionUsedAgain, "a correction that a delivery ran with is used again"),
        (CorrectedTwice, "a requested correction is requested again"),
        (HookAlways, "the hook corrects any number of times"),
        (CircuitSpends, "an open circuit uses up an attempt"),
        (NotReachedSpends, "an item that a batch did not reach uses up an attempt"),
        (StageOneShort, "a retry stage ends one attempt early"),
        (RetriesEarly, "a retry begins before its time"),
        (SpillSleeps, "no wake-up for spilled deliveries that are due"),
        (PausedRuns, "a paused handler is called"),
        (DrainTakes, "a draining handler takes new events"),
        (ManyFindOut, "a half-open breaker admits all deliveries at once"),
        (OpenLetsThrough, "an open breaker admits a delivery"),
        (OpensLate, "a breaker that is about to open admits deliveries that have a slot"),
        (BreakerForgotten, "a restart closes the breakers"),
        (ModeForgotten, "a restart lets paused handlers run"),
        (BatchTakesTried, "a delivery that was tried before shares a call"),
        (BatchTooLarge, "a call takes one delivery too many"),
        (PlacesCountDeliveries, "a call takes one slot per delivery"),
        (BegunOneByOne, "attempts begin before all commands of the pass are taken"),
        (CutOffForgotten, "an attempt that a crash cut off never ends"),
        (CutOffIsFree, "an attempt that a crash cut off does not count"),
        (ScanSkips, "the catch-up read misses an event"),
        (AheadForgotten, "records of later deliveries are forgotten while a handler lags"),
        (MatchesByLatest, "events are matched by the present manifest"),
        (DeploymentsForgotten, "a restart knows only the present manifest"),
        (LateForgotten, "rows that cannot be read from disk yet are forgotten"),
        (RestForgotten, "only the part of a long lane that was reloaded first comes back"),
        (RestNotWanted, "the rest of a lane is not requested"),
        (OffersNotKept, "corrections for spilled deliveries are not kept"),
        (PutsAwayCorrected, "a delivery about to be corrected is spilled"),
        (EachLeads, "each spilled delivery wakes its lane"),
        (NothingSpilled, "nothing is spilled"),
        (CheckpointFar, "the checkpoint passes the first open delivery"),
        (TimersEarly, "timers fire early"),
        (TimerNotHeard, "no wake-up for a timer that is set"),
        (LateTimerForgotten, "no wake-up for a timer that is set while others fire"),
        (AttemptsGoOn, "a corrected delivery continues its count of attempts"),
        (FailureForgotten, "a failed attempt does not name the previous one"),
        (SpentStays, "a corrected delivery keeps its used-up attempts"),
        (StopsLate, "a handler that is about to be paused runs deliveries that have a slot"),
    }

    pub fn switch(bug: Option<Bug>) {
        ON.set(bug);
    }

    #[must_use]
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }
}
