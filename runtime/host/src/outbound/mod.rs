//! Outbound calls: the contract's `http`. A step is looked up, otherwise sent, and recorded when it is finished.
//!
//! Each call passes the same checks in the same order: the manifest's list of hosts, the breaker, the limit on calls, the
//! rules for addresses. Knows no log: the caller takes part through [`Outbound`].

mod address;
mod binding;
mod client;
mod cut;
mod error;
mod headers;
mod journal;
mod options;
mod redirect;
mod request;
mod resolve;
mod secrets;
mod steps;
mod target;

pub use binding::{BoundSecret, SECRET_BYTES_MIN};
pub(crate) use client::Network;
pub(crate) use error::FetchError;
pub use journal::{NoOutbound, Outbound, OutboundCall, RecordedStep, Source};
pub use options::OutboundOptions;
pub(crate) use request::Request;
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub(crate) use steps::{Seen, Steps};
