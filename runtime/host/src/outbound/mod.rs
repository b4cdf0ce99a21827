//! Outbound calls: what the contract's `http` does. A step is looked up, else sent, and kept once it is finished.
//!
//! Each call passes the same gates in the same order: the manifest's list of hosts, the breaker, the limit on calls,
//! the rules for addresses. Knows no log: whoever makes the call takes part through [`Outbound`].

mod address;
mod client;
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

pub(crate) use client::Network;
pub(crate) use error::FetchError;
pub use journal::{NoOutbound, Outbound};
pub use options::OutboundOptions;
pub(crate) use request::Request;
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub(crate) use steps::{Seen, Steps};
