//! The shell around the delivery machine: it owns the tasks and the time, and joins log, views, host and watchers.
//!
//! One thread, the *writer*, takes waiting commands (events, finished attempts, operators' commands), lets the machine
//! decide, appends the records, makes them durable with one sync, and only then informs producers, workers and watchers.
//! Knows no HTTP.

mod ballast;
mod causation;
mod clock;
mod command;
mod corrections;
mod error;
mod handle;
mod host_breakers;
mod hub;
mod identities;
mod indexing;
mod job;
mod journaled_calls;
mod keys;
mod lost;
mod metrics;
mod modules;
mod notices;
mod operations;
mod pool;
mod projection;
mod queries;
mod recent;
pub mod replay;
mod replays;
mod runs;
mod scrub;
mod secrets;
#[cfg(feature = "sim")]
pub mod sim;
mod start;
mod state;
mod statuses;
pub mod storage;
mod tables;
mod time;
mod timers;
mod versions;
mod what_ifs;
mod workers;
mod writer;

pub use clock::{Clock, SystemClock};
pub use command::{
    Audit, BreakerItem, BreakerPage, Changed, DeadLetter, DeliveryFilter, DeliveryItem, HandlerItem, Ingested,
};
pub use error::{EngineFault, Refusal, StartError, StorageError, WorkerFault};
pub use handle::{
    AskedCandidate, AskedWhatIf, Blocked, BlockedPage, BulkJob, BulkJobState, Candidate, Choices, CommandRequest,
    Corrected, DeadLetterFilter, DeadLetterPage, Decided, DeliveryPage, DifferencePage, Failure, Growth, Handle,
    KeyDifferences, KeyHold, KeyLane, Moment, NewData, ReadPlan, ReplayMark, Rollback, StoredEvent, Story, Suspected,
    VersionNumbers, WhatIfItem, WhatIfPage,
};
pub use hub::{ChangedSubject, Hub, SharedDelta, Watch};
pub use identities::IdentityWindow;
pub use metrics::{Metrics, RefusedLabels};
pub use modules::{Collected, ModuleOptions, Upload};
pub use prometheus_client::metrics::gauge::Gauge;
pub use replays::{Decisions, RepairId, ReplayItem, ReplayRow, ReplayState, ReplayStep};
pub use start::{Options, start};
pub use versions::{VersionItem, VersionPage, VersionRow};
pub use weirgate_core::{DeliveryState, Limits, StateName, Suspicion, WorkerSlots, schedule};
pub use weirgate_history::{History, HistoryError, KeyState, Look, Made, StateAsOf};
pub use weirgate_host::{BUDGET_BYTES, BoundSecret, Budget, Grant, ModuleError, Purpose};
pub use weirgate_log::Epoch;
pub use what_ifs::{Applied, Computed, Known, PlanId, Summary, TimersAsOf, Watch as WhatIfProgress};
