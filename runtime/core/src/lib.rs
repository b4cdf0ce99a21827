//! The delivery machine: which delivery may start when, and what becomes of it when it ends.
//!
//! Pure: no I/O, no clock, no threads. It is told what happened ([`Input`]) and when, and answers what to do
//! ([`Action`]). Its state changes by records of the log alone, so replaying the log rebuilds it. It iterates in a
//! fixed order and draws from the [`Entropy`] it is given, so the same inputs give the same actions.

mod backoff;
mod handler;
mod input;
mod lanes;
mod machine;
mod row;

pub use backoff::{Entropy, delay_ms};
pub use input::{Action, DeliveryState, DeliveryView, EventHead, Input, Verdict};
pub use machine::{HandlerView, Limits, Machine};
pub use row::{DeliveryRow, HandlerRow};
