//! The wasmtime host: accepts handler components, compiles and checks them, and calls them within limits.
//!
//! A call is one attempt at a delivery, in its own instance, which is dropped afterwards. The host passes only an event,
//! committed state and the attempt's time, and returns the effects, uncommitted.
//!
//! Only outbound calls reach anything outside; see `outbound`.
//!
//! Knows no log of records, no order and no retry: those belong to its callers.

mod artefact;
mod attempt;
mod budget;
mod call;
mod check;
mod clock;
mod compile;
mod contract;
mod effects;
mod engine;
mod entry;
mod error;
mod failure;
mod files;
mod host;
mod lines;
mod memory;
mod module;
mod options;
mod outbound;
mod ticker;
mod together;
mod upload;
mod wasi;

pub use budget::{BUDGET_BYTES, Budget, Grant, Purpose};
pub use call::{BatchReport, Call, CallError, CallReport, OwnProcessor, Processor, ReadState, StateError};
pub use compile::child::compile_in_this_process;
pub use error::{HostError, ModuleError};
pub use host::Host;
pub use module::{Module, ModuleInfo};
pub use options::HostOptions;
pub use outbound::{
    BoundSecret, NoOutbound, Outbound, OutboundCall, OutboundOptions, RecordedStep, Resolve, ResolveError,
    SECRET_BYTES_MIN, Source, SystemResolver,
};
pub use upload::Upload;
