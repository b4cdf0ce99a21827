//! The contract of `sdk/wit/handler.wit`, as the host implements it: one file for each interface that a handler imports.
//!
//! The limits here are part of the contract and the same for everyone; those of a manifest are in `CallLimits`.

mod batch;
mod config;
pub(crate) mod event;
mod http;
mod log;
mod outbox;
pub(crate) mod repair;
mod state;

use wasmtime::component::HasSelf;
use weirgate_types::{
    json::{DEPTH_MAX, JsonErrorKind, check},
    not_in_keys,
};

use crate::{
    attempt::Attempt,
    failure::{Stop, contract},
};

pub(crate) mod bindings {
    //! The bindings that wasmtime generates from the contract.
    #![allow(clippy::all, clippy::pedantic, reason = "generated")]

    wasmtime::component::bindgen!({
        path: "../../sdk/wit",
        world: "handler",
        imports: { default: trappable },
    });

    /// The same with `on-correctable`.
    pub(crate) mod correcting {
        wasmtime::component::bindgen!({
            path: "../../sdk/wit",
            world: "correcting-handler",
            imports: { default: trappable },
            with: { "weirgate:handler": super::weirgate::handler },
        });
    }

    /// `on-corrected`, which a component of any of these worlds may export.
    pub(crate) mod compensating {
        wasmtime::component::bindgen!({
            path: "../../sdk/wit",
            world: "compensating-handler",
            imports: { default: trappable },
            with: { "weirgate:handler": super::weirgate::handler },
        });
    }

    /// `migrate-state`, which a handler of any kind may export.
    pub(crate) mod migrating {
        wasmtime::component::bindgen!({
            path: "../../sdk/wit",
            world: "migration",
            imports: { default: trappable },
            with: { "weirgate:handler": super::weirgate::handler },
        });
    }

    /// A handler of several deliveries at once.
    pub(crate) mod batching {
        wasmtime::component::bindgen!({
            path: "../../sdk/wit",
            world: "batch-handler",
            imports: { default: trappable },
            with: {
                "weirgate:handler/config": super::weirgate::handler::config,
                "weirgate:handler/http": super::weirgate::handler::http,
                "weirgate:handler/log": super::weirgate::handler::log,
                "weirgate:handler/outbox": super::weirgate::handler::outbox,
                "weirgate:handler/state": super::weirgate::handler::state,
                "weirgate:handler/types": super::weirgate::handler::types,
            },
        });
    }
}

/// The interfaces of the contract, for the linker.
pub(crate) fn add_to_linker(linker: &mut wasmtime::component::Linker<Attempt>) -> wasmtime::Result<()> {
    bindings::Handler::add_to_linker::<_, HasSelf<_>>(linker, |attempt| attempt)?;
    bindings::batching::weirgate::handler::batch::add_to_linker::<_, HasSelf<_>>(linker, |attempt| attempt)
}

impl bindings::weirgate::handler::types::Host for Attempt {}

/// Checks a text of 1 to `bytes_max` bytes.
fn check_name(what: &str, name: &str, bytes_max: usize) -> Result<(), Stop> {
    if name.is_empty() {
        return Err(contract(format!("{what} is empty")));
    }
    if name.len() > bytes_max {
        return Err(contract(format!("{what} is {} bytes long; at most {bytes_max} are allowed", name.len())));
    }
    Ok(())
}

/// Checks a text that later becomes an event's attribute or a key: not empty, not too long, without characters that may not be
/// in keys.
fn check_attribute(what: &str, value: &str, bytes_max: usize) -> Result<(), Stop> {
    check_name(what, value, bytes_max)?;
    not_in_keys(value).map_or(Ok(()), |problem| Err(contract(format!("{what} {problem}"))))
}

fn check_json(what: &str, json: &[u8]) -> Result<(), Stop> {
    check(json, DEPTH_MAX).map(drop).map_err(|error| match error.kind {
        JsonErrorKind::TooDeep { max } => contract(format!("{what} is nested more than {max} levels deep")),
        _ => contract(format!("{what} is not JSON: {error}")),
    })
}
