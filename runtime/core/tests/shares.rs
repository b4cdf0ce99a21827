//! How calls share processors and threads, in virtual time: handlers with more work than there is room for, and others
//! beside them.

use std::{collections::BTreeMap, time::Duration};

use weirgate_core::{CallId, Grant, Shares, WorkerSlots};
use weirgate_types::HandlerName;

/// Interval, in milliseconds, at which a computing call checks whether to yield.
const TICK_MS: u64 = 10;

/// A call: how long it waits for the network, and then how long it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    hangs_ms: u64,
    computes_ms: u64,
}

#[derive(Debug)]
struct Running {
    handler: HandlerName,
    submitted_ms: u64,
    work: Work,
    /// Whether it has a processor.
    computes: bool,
    hangs_until_ms: Option<u64>,
}

struct World {
    shares: Shares<(HandlerName, u64, Work)>,
    now_ms: u64,
    running: BTreeMap<CallId, Running>,
    /// Duration and end of calls, measured from submission, by handler.
    took_ms: BTreeMap<HandlerName, Vec<u64>>,
    used_ms: BTreeMap<HandlerName, u64>,
}

fn name(text: &str) -> HandlerName {
    text.parse().expect("a name")
}

const fn computing(computes_ms: u64) -> Work {
    Work { hangs_ms: 0, computes_ms }
}

impl World {
    fn new(processors: usize, threads: usize) -> Self {
        let shares = Shares::new(WorkerSlots { processors, threads });
        let (running, took_ms, used_ms) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { shares, now_ms: 0, running, took_ms, used_ms }
    }

    fn submit(&mut self, handler: &str, count: usize, work: Work) {
        for _ in 0..count {
            self.shares.submit(&name(handler), (name(handler), self.now_ms, work));
        }
        self.dispatch();
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    fn dispatch(&mut self) {
        while let Some(grant) = self.shares.next(self.now()) {
            match grant {
                Grant::Begin(call, (handler, submitted_ms, work)) => {
                    let hangs_until_ms = (work.hangs_ms > 0).then(|| self.now_ms + work.hangs_ms);
                    let computes = hangs_until_ms.is_none();
                    self.running.insert(call, Running { handler, submitted_ms, work, computes, hangs_until_ms });
                    if !computes {
                        self.shares.release(call, self.now());
                    }
                }
                Grant::Resume(call) => self.running.get_mut(&call).expect("a call").computes = true,
            }
        }
    }

    /// A millisecond passes.
    fn step(&mut self) {
        self.now_ms += 1;
        let now = self.now();
        let calls: Vec<_> = self.running.keys().copied().collect();
        for call in calls {
            let running = self.running.get_mut(&call).expect("a call");
            if running.hangs_until_ms.is_some_and(|until_ms| until_ms <= self.now_ms) {
                running.hangs_until_ms = None;
                self.shares.acquire(call);
            }
            if !running.computes {
                continue;
            }
            running.work.computes_ms -= 1;
            *self.used_ms.entry(running.handler.clone()).or_default() += 1;
            if running.work.computes_ms == 0 {
                self.shares.end(call, now);
                let ended = self.running.remove(&call).expect("a call");
                self.took_ms.entry(ended.handler).or_default().push(self.now_ms - ended.submitted_ms);
            } else if self.now_ms.is_multiple_of(TICK_MS) && self.shares.tick(call, now) {
                running.computes = false;
            }
        }
        self.dispatch();
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    /// Submits a call of a handler every `pause_ms`, and returns the longest duration.
    fn longest_beside(&mut self, handler: &str, work: Work, pause_ms: u64, count: usize) -> u64 {
        for _ in 0..count {
            self.submit(handler, 1, work);
            self.run(pause_ms);
        }
        self.run(1_000);
        let took_ms = self.took_ms.get(&name(handler)).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(took_ms.len(), count, "all of {handler} are done");
        took_ms.iter().copied().max().unwrap_or_default()
    }

    fn threads_of(&self, handler: &str) -> usize {
        self.running.values().filter(|running| running.handler == name(handler)).count()
    }
}

#[test]
fn a_light_handler_waits_one_tick_beside_one_that_computes_without_end() {
    let mut world = World::new(2, 132);
    world.submit("hog", 1_024, computing(5_000));
    let longest = world.longest_beside("light", computing(1), 37, 200);
    assert!(longest <= TICK_MS + 1, "{longest} ms");
    assert!(world.used_ms[&name("hog")] > 2 * world.now_ms - 1_000, "the rest is the hog's");
}

#[test]
fn a_light_handler_waits_one_tick_beside_twenty_that_compute() {
    let mut world = World::new(2, 132);
    for n in 0..20 {
        world.submit(&format!("hog-{n}"), 1_024, computing(5_000));
    }
    world.run(1_000);
    let longest = world.longest_beside("light", computing(1), 37, 200);
    assert!(longest <= TICK_MS + 1, "{longest} ms");
}

#[test]
fn a_light_handler_does_not_wait_beside_hanging_calls() {
    let mut world = World::new(2, 132);
    for hog in ["hog-1", "hog-2", "hog-3"] {
        world.submit(hog, 1_024, Work { hangs_ms: 30_000, computes_ms: 1 });
    }
    let longest = world.longest_beside("light", Work { hangs_ms: 5, computes_ms: 1 }, 37, 200);
    assert!(longest <= 5 + 2 * TICK_MS, "{longest} ms");
    assert!(["hog-1", "hog-2", "hog-3"].iter().all(|hog| world.threads_of(hog) >= 16));
}

#[test]
fn a_single_handler_gets_all_resources() {
    let mut world = World::new(4, 8);
    world.submit("a", 8, computing(100));
    world.run(100);
    assert_eq!(world.took_ms[&name("a")], [100; 4], "all processors compute");
    let mut world = World::new(2, 132);
    world.submit("a", 64, Work { hangs_ms: 1_000, computes_ms: 1 });
    world.run(1);
    assert_eq!(world.threads_of("a"), 64, "its default concurrency, all at once");
}

#[test]
fn competing_handlers_share_evenly() {
    let mut world = World::new(2, 132);
    world.submit("short", 100_000, computing(1));
    world.run(500);
    for hog in ["long-1", "long-2", "long-3"] {
        world.submit(hog, 1_024, computing(5_000));
    }
    let before = world.used_ms[&name("short")];
    world.run(10_000);
    world.used_ms.insert(name("short"), world.used_ms[&name("short")] - before);
    for (handler, used_ms) in &world.used_ms {
        assert!((4_900..=5_100).contains(used_ms), "{handler} used {used_ms} of 20,000 ms");
    }
}

#[test]
fn an_idle_handler_saves_up_no_credit() {
    let mut world = World::new(1, 66);
    world.submit("early", 1_000, computing(100));
    world.run(10_000);
    world.submit("late", 1_000, computing(100));
    let before = world.used_ms[&name("early")];
    world.run(2_000);
    let used_ms = world.used_ms[&name("early")] - before;
    assert!((900..=1_100).contains(&used_ms), "it continues with its half: {used_ms} of 2,000 ms");
}

#[test]
fn a_finished_handler_leaves_no_state() {
    let mut world = World::new(2, 66);
    for n in 0..100 {
        world.submit(&format!("h{n}"), 3, Work { hangs_ms: 7, computes_ms: 3 });
    }
    world.run(3_000);
    assert!(world.running.is_empty());
    assert_eq!(world.took_ms.values().map(Vec::len).sum::<usize>(), 300);
    assert_eq!(world.shares.next(world.now()), None);
}
