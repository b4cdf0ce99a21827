//! WASI 0.2 for handlers, in a deterministic environment. No files, no sockets, no arguments; clocks that return the
//! attempt's time; random numbers derived from the delivery; output that becomes log lines.
//!
//! Implemented here instead of using wasmtime-wasi, because there a guest that sleeps puts the host's thread to sleep for
//! real, where no limit applies, and because nothing here needs memory or a thread in the host.

mod cli;
mod clocks;
mod filesystem;
mod io;
mod random;

use rand_chacha::ChaCha12Rng;
use wasmtime::component::Linker;
use weirgate_types::DeliveryId;

use crate::{
    attempt::Attempt,
    failure::{Stop, effect_limit},
};

/// The interfaces are defined as of this version; components built for any 0.2 can use them.
const VERSION: &str = "0.2.12";
/// Maximum number of streams and timers that one call may create.
const HANDLES_MAX: u32 = 4_096;

/// The offered interfaces, without their version.
pub(crate) const OFFERED: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// One call's environment.
pub(crate) struct Given {
    /// `None` if a component is only started.
    delivery: Option<DeliveryId>,
    at_ms: u64,
    /// Nanoseconds. Advances only when the guest waits for a timer.
    monotonic_ns: u64,
    /// When the call's timers are due, by the number of their handle minus one.
    timers_ns: Vec<u64>,
    handles: u32,
    /// Created when it is first used: most handlers never do.
    random: Option<ChaCha12Rng>,
}

impl Given {
    pub(crate) fn new(delivery: Option<DeliveryId>, at_ms: u64) -> Self {
        Self {
            delivery,
            at_ms,
            monotonic_ns: at_ms.saturating_mul(1_000_000),
            timers_ns: Vec::new(),
            handles: 0,
            random: None,
        }
    }

    /// Counts a handle that the guest gets. Handles take memory in the host.
    fn count_handle(&mut self) -> Result<(), Stop> {
        if self.handles >= HANDLES_MAX {
            return Err(effect_limit("too many WASI streams and timers", HANDLES_MAX, "fixed"));
        }
        self.handles += 1;
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    cli::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    filesystem::add_to_linker(linker)?;
    io::add_to_linker(linker)?;
    random::add_to_linker(linker)
}

/// The name of an interface with its version.
fn versioned(interface: &str) -> String {
    format!("wasi:{interface}@{VERSION}")
}
