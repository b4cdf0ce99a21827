//! The wasmtime host: takes handler components, compiles and checks them, and calls them within limits.
//!
//! A call is one attempt at a delivery, in an instance of its own that is dropped afterwards. The host gives it an
//! event, committed state, the attempt's time and nothing else, and gives back its effects, uncommitted.
//!
//! Outbound calls are the one way in which a call reaches anything else; see `outbound`.
//!
//! Knows no log of records, no order and no retry: those who call it do.

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
pub use outbound::{NoOutbound, Outbound, OutboundOptions, Resolve, ResolveError, SystemResolver};
pub use upload::Upload;
