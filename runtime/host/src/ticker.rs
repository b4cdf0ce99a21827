//! The thread that advances the engine's epoch, so that a running guest is interrupted regularly and its limits are checked.
//! It sleeps while no call is made, and ends when its last handle is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc::{RecvTimeoutError, SyncSender, sync_channel},
};
use std::time::Duration;

use wasmtime::Engine;

/// Interval of the epoch: the precision of the limits on CPU and wall-clock time.
const TICK: Duration = Duration::from_millis(10);
/// Number of ticks without a new call after which the thread sleeps.
const IDLE_TICKS_MAX: u32 = 100;

/// Keeps the epoch advancing while there are calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    /// Wakes the sleeping thread. A capacity of one is enough: a second wake-up would have no effect.
    wake: SyncSender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    calls_begun: AtomicU64,
    calls_under_way: AtomicU64,
    resting: AtomicBool,
}

/// Held while a call lasts.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (wake, woken) = sync_channel(1);
        let (engine, seen) = (engine.weak(), Arc::clone(&shared));
        let tick = move || {
            let (mut begun, mut idle_ticks) = (0, 0);
            // Receiving is how it sleeps: it ends at once when the last handle is dropped.
            while !matches!(woken.recv_timeout(TICK), Err(RecvTimeoutError::Disconnected)) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
                drop(engine);
                let now = seen.calls_begun.load(Ordering::SeqCst);
                idle_ticks = if now == begun { idle_ticks + 1 } else { 0 };
                begun = now;
                if idle_ticks > IDLE_TICKS_MAX && seen.rest(begun) {
                    idle_ticks = 0;
                    if woken.recv().is_err() {
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new().name("epoch".into()).spawn(tick)?;
        Ok(Self { shared, wake })
    }

    /// A call begins. The epoch advances at least until the returned value is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.calls_under_way.fetch_add(1, Ordering::SeqCst);
        self.shared.calls_begun.fetch_add(1, Ordering::SeqCst);
        if self.shared.resting.load(Ordering::SeqCst) && self.shared.resting.swap(false, Ordering::SeqCst) {
            // Full means that it has been woken already.
            let _ = self.wake.try_send(());
        }
        Running(&self.shared)
    }
}

impl Shared {
    /// Whether the thread may sleep: no call is in flight and none began since `begun` was read. The order (first set
    /// "resting", then read the counters) is the reverse of a call's, so that one of the two always notices the other.
    fn rest(&self, begun: u64) -> bool {
        self.resting.store(true, Ordering::SeqCst);
        let idle = self.calls_under_way.load(Ordering::SeqCst) == 0 && self.calls_begun.load(Ordering::SeqCst) == begun;
        if !idle {
            // A call that has taken the flag has also sent a wake-up; it only makes the next tick come early.
            self.resting.store(false, Ordering::SeqCst);
        }
        idle
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.calls_under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module, Store, Trap};

    use super::*;
    use crate::{clock::Reading, engine};

    /// Runs until the epoch advances.
    fn interrupted(engine: &Engine) -> bool {
        let bytes = wat::parse_str("(module (func (export \"f\") (loop (br 0))))").expect("a module");
        let module = Module::new(engine, bytes).expect("it compiles");
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let endless = instance.get_typed_func::<(), ()>(&mut store, "f").expect("it is exported");
        let error = endless.call(&mut store, ()).expect_err("it never ends on its own");
        error.downcast_ref::<Trap>() == Some(&Trap::Interrupt)
    }

    #[test]
    fn the_ticker_sleeps_without_calls_and_wakes_for_the_next_one() {
        let engine = engine::compiling().expect("an engine");
        let ticker = Ticker::start(&engine).expect("a thread");
        let started = Reading::now();
        while !ticker.shared.resting.load(Ordering::SeqCst) {
            assert!(started.wall_since() < Duration::from_secs(60), "it never rests");
            std::thread::yield_now();
        }
        let _running = ticker.running();
        assert!(interrupted(&engine));
        assert!(!ticker.shared.resting.load(Ordering::SeqCst));
    }
}
