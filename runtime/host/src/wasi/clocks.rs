//! `wasi:clocks`: the wall clock returns the attempt's time. The monotonic clock starts there and does not advance, except
//! that waiting for a timer moves it to the timer's due time: a sleep returns at once and appears to have lasted.

use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource};

use super::{Given, io::Pollable, versioned};
use crate::{attempt::Attempt, failure::Stop};

#[derive(Debug, Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Given {
    fn wall(&self) -> Datetime {
        let milliseconds = u32::try_from(self.at_ms % 1_000).unwrap_or(0);
        Datetime { seconds: self.at_ms / 1_000, nanoseconds: milliseconds * 1_000_000 }
    }

    fn timer(&mut self, due_ns: u64) -> Result<Resource<Pollable>, Stop> {
        self.count_handle()?;
        self.timers_ns.push(due_ns);
        // At most as many as there are handles, of which there are few.
        Ok(Resource::new_own(u32::try_from(self.timers_ns.len()).unwrap_or(u32::MAX)))
    }

    /// When the handle is ready: streams always are, timers at their time.
    pub(super) fn due_ns(&self, pollable: &Resource<Pollable>) -> u64 {
        let timer = usize::try_from(pollable.rep()).ok().and_then(|handle| handle.checked_sub(1));
        timer.and_then(|timer| self.timers_ns.get(timer)).copied().unwrap_or(0)
    }

    pub(super) fn is_due(&self, due_ns: u64) -> bool {
        due_ns <= self.monotonic_ns
    }

    pub(super) fn wait_until(&mut self, due_ns: u64) {
        self.monotonic_ns = self.monotonic_ns.max(due_ns);
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    let mut wall = linker.instance(&versioned("clocks/wall-clock"))?;
    wall.func_wrap("now", |store, (): ()| Ok((store.data().wasi.wall(),)))?;
    wall.func_wrap("resolution", |_, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },)))?;

    let mut monotonic = linker.instance(&versioned("clocks/monotonic-clock"))?;
    monotonic.func_wrap("now", |store, (): ()| Ok((store.data().wasi.monotonic_ns,)))?;
    monotonic.func_wrap("resolution", |_, (): ()| Ok((1_u64,)))?;
    monotonic
        .func_wrap("subscribe-instant", |mut store, (due_ns,): (u64,)| Ok((store.data_mut().wasi.timer(due_ns)?,)))?;
    monotonic.func_wrap("subscribe-duration", |mut store, (wait_ns,): (u64,)| {
        let given = &mut store.data_mut().wasi;
        Ok((given.timer(given.monotonic_ns.saturating_add(wait_ns))?,))
    })
}
