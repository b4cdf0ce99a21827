//! Seeded bugs, for the simulator to find (`tests/sim`, `docs/simulation.md`). Without the feature `bugs`, which nothing but
//! the simulator's own turns on, `bug!` is the word `false` and this file holds nothing else.

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
        /// The bug that this thread's machines have. Only here: the machine itself knows no threads.
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    macro_rules! table {
        ($(($name:ident, $what:literal)),* $(,)?) => {
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Bug { $($name),* }

            /// All there are, and what each does.
            pub const ALL: &[(Bug, &str)] = &[$((Bug::$name, $what)),*];
        };
    }

    table! {
        (KeyOrderLost, "deliveries of a key do not wait for each other"),
        (LineGoesOn, "a handler that takes one after the other stops only the key"),
        (EmitsAtOnce, "what overtakes emits at once"),
        (ReleasedAgain, "emissions that are about to leave are sent off again"),
        (RunsBeside, "the first of a lane runs beside one that runs"),
        (HoldGoesOn, "a key goes on after a dead letter that should hold it"),
        (HeldIsForgotten, "a held dead letter is closed"),
        (WaitingRuns, "what waits for a correction runs again without"),
        (EarlyCorrectionLost, "a correction that comes before it is needed is forgotten"),
        (SpillNotCorrected, "a correction does not reach spilled deliveries"),
        (CorrectsOtherKeys, "a correction is for every key of a lane"),
        (CorrectsLaterOnes, "a correction of a spilled lane is for what came after it too"),
        (CorrectionUsedAgain, "a correction that a delivery ran with is used again"),
        (CorrectedTwice, "a correction that was asked for is asked for again"),
        (HookAlways, "the hook corrects however often"),
        (CircuitSpends, "an open circuit costs an attempt"),
        (NotReachedSpends, "what a batch did not reach costs an attempt"),
        (StageOneShort, "a retry stage ends one attempt early"),
        (RetriesEarly, "a retry begins before its time"),
        (SpillSleeps, "no wake-up for spilled deliveries that are due"),
        (PausedRuns, "a paused handler is called"),
        (DrainTakes, "a draining handler takes what is new"),
        (ManyFindOut, "when a breaker may close all go at once"),
        (OpenLetsThrough, "an open breaker lets one through"),
        (OpensLate, "a breaker that is to open lets through what has a place"),
        (BreakerForgotten, "a restart closes the breakers"),
        (ModeForgotten, "a restart lets paused handlers run"),
        (BatchTakesTried, "one that was tried shares a call"),
        (BatchTooLarge, "a call takes one more than it may"),
        (PlacesCountDeliveries, "a call takes as many places as it has deliveries"),
        (BegunOneByOne, "attempts begin while there is more to take"),
        (CutOffForgotten, "an attempt that a crash cut off is never ended"),
        (CutOffIsFree, "an attempt that a crash cut off does not count"),
        (ScanSkips, "who reads back misses an event"),
        (AheadForgotten, "what the log says of later deliveries is forgotten while a handler lags"),
        (MatchesByLatest, "events are matched by the present manifest"),
        (DeploymentsForgotten, "a restart knows the present manifest alone"),
        (LateForgotten, "what cannot be reloaded yet is forgotten"),
        (RestForgotten, "of a long lane only what was reloaded first comes back"),
        (RestNotWanted, "the rest of a lane is not asked for"),
        (OffersNotKept, "corrections for spilled lanes are not kept"),
        (PutsAwayCorrected, "what is about to be corrected is spilled"),
        (EachLeads, "each spilled delivery wakes its lane"),
        (NothingSpilled, "nothing is spilled"),
        (CheckpointFar, "the checkpoint passes the first open delivery"),
        (TimersEarly, "timers go off early"),
        (TimerNotHeard, "a timer that is set is not waited for"),
        (LateTimerForgotten, "a timer that is set while others go off is not waited for"),
        (AttemptsGoOn, "a corrected delivery counts its attempts on"),
        (FailureForgotten, "a failed attempt does not name the one before"),
        (SpentStays, "a corrected delivery has used up its attempts still"),
        (StopsLate, "a handler that is to be paused goes on with what has a place"),
    }

    pub fn switch(bug: Option<Bug>) {
        ON.set(bug);
    }

    #[must_use]
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }
}
