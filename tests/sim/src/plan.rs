//! The parameters that a seed chooses before its history begins: handlers, limits, and the frequency of faults. Printed with
//! a failing seed.

use weirgate_core::Limits;
use weirgate_log::LogOptions;
use weirgate_types::HandlerName;

use crate::{Chance, Setting};

/// The names of a history's handlers, in the machine's order.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// The name of the handler at an index.
///
/// # Panics
/// [`NAMES`] has an invalid name.
#[must_use]
pub fn name(index: usize) -> HandlerName {
    NAMES.get(index).copied().unwrap_or("a").parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The frequencies: one time in this many; 0 for never.
#[derive(Debug)]
pub struct Rates {
    pub crash: u64,
    pub disk_error: u64,
    pub disk_full: u64,
    pub clock_step: u64,
    pub failure: u64,
    pub operator: u64,
    pub deploy: u64,
    pub correction: u64,
    pub keep_views: u64,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn")]
pub struct Plan {
    pub seed: u64,
    pub handlers: [Setting; 3],
    pub steps: u64,
    pub keys: u64,
    pub rates: Rates,
    pub limits: Limits,
    pub log: LogOptions,
    /// Whether repairs are those of what-ifs; otherwise they are any.
    pub has_what_ifs: bool,
    /// Whether handlers compensate themselves what a repair cannot take back.
    pub takes_corrected: bool,
    /// Whether the receiver of emitted events may be folded again.
    pub folds: bool,
    /// Whether deliveries call outside.
    pub has_calls: bool,
    /// Whether keys share a part of a status.
    pub shares: bool,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, setting) in NAMES.iter().zip(&self.handlers) {
            let Setting { kind, concurrency, has_breaker, from_beginning } = setting;
            writeln!(
                f,
                "{name}: {}, concurrency {concurrency}, breaker: {has_breaker}, from the beginning: {from_beginning}",
                kind.name
            )?;
        }
        writeln!(f, "{} steps, {} keys, what-ifs: {}", self.steps, self.keys, self.has_what_ifs)?;
        writeln!(f, "folds: {}, calls: {}, shares a status: {}", self.folds, self.has_calls, self.shares)?;
        writeln!(f, "{:?}", self.rates)?;
        writeln!(f, "{:?}", self.limits)?;
        write!(f, "{:?}", self.log)
    }
}

impl Plan {
    pub fn draw(seed: u64, chance: &mut Chance) -> Self {
        let handlers = NAMES.map(|_| Setting::draw(chance));
        let (steps, keys) = (chance.between(10, 24), chance.between(1, 4));
        let rates = Rates {
            crash: chance.between(5, 14),
            disk_error: chance.between(8, 30),
            disk_full: chance.between(10, 40),
            clock_step: chance.between(5, 20),
            failure: chance.between(2, 8),
            operator: chance.between(3, 10),
            deploy: chance.between(8, 30),
            correction: chance.between(4, 12),
            keep_views: chance.between(1, 8),
        };
        let mut small = |least, most| usize::try_from(chance.between(least, most)).unwrap_or(1);
        let limits = Limits {
            active_max: small(2, 8),
            open_max: small(6, 24),
            waiting_max: small(0, 4),
            lane_max: small(1, 5),
            ..Limits::default()
        };
        let log = LogOptions {
            segment_bytes_max: chance.between(2_000, 40_000),
            reserve_bytes: chance.below(3) * 3_000,
            ..LogOptions::default()
        };
        let (has_what_ifs, takes_corrected) = (chance.one_in(2), chance.one_in(2));
        // What else what-ifs are about is drawn beside the history.
        let mut beside = Chance::seeded(seed ^ 0x5eed);
        let folds = has_what_ifs && !beside.one_in(3);
        let has_calls = has_what_ifs && beside.one_in(2);
        let shares = has_what_ifs && beside.one_in(2);
        Self {
            seed,
            handlers,
            steps,
            keys,
            rates,
            limits,
            log,
            has_what_ifs,
            takes_corrected,
            folds,
            has_calls,
            shares,
        }
    }
}
