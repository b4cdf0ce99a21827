//! How a call shares its processor: it yields at ticks and around each wait for the network, and the time it waits there is
//! not its own.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;
use support::{Memory, attempt, failure, hostile, journal::Journal};
use weirgate_host::{CallError, Processor};

/// Makes the call wait for longer than a call may take.
#[derive(Debug, Default)]
struct Busy(AtomicUsize);

const OTHERS: Duration = Duration::from_millis(120);

impl Processor for Busy {
    fn tick(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        thread::park_timeout(OTHERS);
    }

    fn release(&self) {}

    fn acquire(&self) {}
}

#[test]
fn waiting_for_a_processor_is_not_the_calls_time() {
    let busy = Arc::new(Busy::default());
    let mut attempt = attempt("loops_forever");
    (attempt.limits.cpu_ms, attempt.limits.wall_ms) = (30, 100);
    attempt.processor = Arc::clone(&busy) as Arc<dyn Processor>;
    let failure = failure(attempt.run());
    // By the clock it took more than its wall-clock time at the first tick.
    assert!(failure.message.contains("30 ms of CPU time"), "{}", failure.message);
    assert!(busy.0.load(Ordering::SeqCst) >= 2);
}

/// Notes the calls of its methods.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<&'static str>>);

impl Noting {
    fn note(&self, what: &'static str) {
        self.0.lock().expect("no panic").push(what);
    }
}

impl Processor for Noting {
    fn tick(&self) {}

    fn release(&self) {
        self.note("release");
    }

    fn acquire(&self) {
        self.note("acquire");
    }
}

#[test]
fn a_call_that_waits_for_the_network_holds_no_processor() {
    let noting = Arc::new(Noting::default());
    let mut attempt = attempt("fetches");
    // No host may be called, which is checked on the same path.
    attempt.event.data = json!({ "fetches": [{ "step": "a", "url": "http://a.test" }] }).to_string().into_bytes();
    attempt.processor = Arc::clone(&noting) as Arc<dyn Processor>;
    let report = attempt.run_outbound(&hostile(), Box::new(Memory::default()), Box::new(Journal::default()));
    report.result.expect("it copes");
    assert_eq!(*noting.0.lock().expect("no panic"), ["release", "acquire"]);
}

/// Discards the call at its first tick, or from the beginning.
#[derive(Debug, Default)]
struct Discarding(AtomicUsize);

impl Processor for Discarding {
    fn tick(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn release(&self) {}

    fn acquire(&self) {}

    fn is_discarded(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

#[test]
fn a_discarded_call_ends_at_its_next_tick() {
    let mut attempt = attempt("loops_forever");
    (attempt.limits.cpu_ms, attempt.limits.wall_ms) = (5_000, 30_000);
    attempt.processor = Arc::new(Discarding::default());
    let report = attempt.run();
    assert_eq!(report.result, Err(CallError::Discarded));
    assert!(report.cpu < Duration::from_secs(1), "{:?}", report.cpu);
}

#[test]
fn a_discarded_call_makes_no_outbound_call() {
    let mut attempt = attempt("fetches");
    attempt.event.data = json!({ "fetches": [{ "step": "a", "url": "http://a.test" }] }).to_string().into_bytes();
    attempt.processor = Arc::new(Discarding(AtomicUsize::new(1)));
    let report = attempt.run_outbound(&hostile(), Box::new(Memory::default()), Box::new(Journal::default()));
    assert_eq!(report.result, Err(CallError::Discarded));
    assert!(report.hosts.is_empty(), "{:?}", report.hosts);
}
