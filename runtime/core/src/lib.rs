//! The delivery machine: which delivery may start when, and what its outcome leads to.
//!
//! Pure: no I/O, no clock, no threads. It takes inputs ([`Input`]) with their time, and returns actions ([`Action`]). Its
//! state changes only by records of the log, so replaying the log rebuilds it. It iterates in a fixed order and draws random
//! numbers from the given [`Entropy`], so the same inputs give the same actions.

mod action;
mod backoff;
mod breaker;
mod emission_rate;
mod handler;
mod input;
mod lanes;
mod machine;
mod outcome;
pub mod pacing;
mod row;
pub mod schedule;
mod shares;
mod suspicion;
mod time;
mod view;

pub use action::{Action, AttemptOutcome, Gap, Next, StateChange};
pub use backoff::{Entropy, next_retry};
pub use breaker::{Breaker, OpenPeriod, Transition};
pub use handler::Version;
pub use input::{AttemptResult, EventHead, Input, NextDue, ReloadedLane, deliveries_of, named_deliveries};
pub use machine::{HOLD_MS_MAX, HOOK, HoldId, Limits, Machine};
pub use row::{DeliveryPhase, DeliveryRow, HandlerRow, OfferChange, PerWait, Rank, Sequence, Wait};
pub use shares::{CallId, Grant, Shares, WorkerSlots};
pub use suspicion::Suspicion;
pub use time::{Anchors, Now, Timekeeper};
pub use view::{DeliveryState, DeliveryView, HandlerView, StateName, Verdict};
