//! One call while it lasts: what the store of its instance holds. The host functions work on it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weirgate_types::{CallLimits, DeliveryId, FailureKind};

use crate::{
    ReadState,
    clock::Reading,
    effects::EffectBuffer,
    ending::{Stop, effect_limit},
    lines::Log,
    memory::MemoryLimit,
    wasi::Given,
};

pub(crate) struct Attempt {
    pub(crate) key: String,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) state: Box<dyn ReadState>,
    pub(crate) effects: EffectBuffer,
    pub(crate) log: Log,
    pub(crate) memory: MemoryLimit,
    pub(crate) wasi: Given,
    budget: Budget,
}

/// What a call begins with.
pub(crate) struct Setup<'a> {
    pub(crate) limits: &'a CallLimits,
    pub(crate) key: &'a str,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    /// Absent where a component is only started.
    pub(crate) delivery: Option<&'a DeliveryId>,
    pub(crate) at_ms: u64,
}

/// What may still be used of what is counted.
#[derive(Debug)]
struct Budget {
    started: Reading,
    cpu_max: Duration,
    wall_max: Duration,
    host_calls: u32,
    host_calls_max: u32,
}

impl Attempt {
    pub(crate) fn new(setup: Setup<'_>, state: Box<dyn ReadState>, started: Reading) -> Self {
        let Setup { limits, key, config, delivery, at_ms } = setup;
        Self {
            key: key.to_owned(),
            config,
            state,
            effects: EffectBuffer::new(limits),
            log: Log::new(limits),
            memory: MemoryLimit::new(limits.memory_bytes),
            wasi: Given::new(delivery.cloned(), at_ms),
            budget: Budget::new(limits, started),
        }
    }

    /// Count a call of the contract's functions (all but `log`, which has a limit of its own).
    pub(crate) fn host_call(&mut self) -> Result<(), Stop> {
        let budget = &mut self.budget;
        if budget.host_calls >= budget.host_calls_max {
            return Err(effect_limit("too many host calls", budget.host_calls_max, "limits.host_calls"));
        }
        budget.host_calls += 1;
        Ok(())
    }

    /// Whether the call may go on. Asked at every tick of the epoch.
    pub(crate) fn check_time(&self) -> Result<(), Stop> {
        let Budget { started, cpu_max, wall_max, .. } = &self.budget;
        let timeout = |what, max: &Duration, limit| {
            Err(Stop::Guest(FailureKind::Timeout, format!("more than {} ms of {what} ({limit})", max.as_millis())))
        };
        if started.cpu_since() > *cpu_max {
            return timeout("CPU time", cpu_max, "limits.cpu_ms");
        }
        if started.wall_since() > *wall_max {
            return timeout("wall time", wall_max, "limits.wall_ms");
        }
        Ok(())
    }
}

impl Budget {
    fn new(limits: &CallLimits, started: Reading) -> Self {
        Self {
            started,
            cpu_max: Duration::from_millis(limits.cpu_ms),
            wall_max: Duration::from_millis(limits.wall_ms),
            host_calls: 0,
            host_calls_max: limits.host_calls,
        }
    }
}
