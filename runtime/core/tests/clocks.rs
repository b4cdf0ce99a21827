//! Time, as data: wall clocks that are set, and timers that are set while others fire.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::{
    Action, AttemptResult, DeliveryState, Entropy, Input, Limits, Machine, Now, PerWait, StateName, Timekeeper,
};
use weirgate_types::{
    Anchor, AttemptFailure, Commit, DeliveryId, Deployed, Effects, Event, HandlerName, Outcome, Position, Record,
    TimerId,
};
use world::{DIGEST, deployed, event, name, transient};

const HOUR_MS: u64 = 3_600_000;
const START_MS: u64 = 100 * HOUR_MS;
const MINUTE_MS: u64 = 60_000;

/// A machine and its log, under clocks that the test sets.
struct Bench {
    machine: Machine,
    keeper: Timekeeper,
    wall_ms: u64,
    monotonic_ms: u64,
    log: Vec<(Position, Record)>,
    actions: Vec<Action>,
}

impl Bench {
    /// With a handler `a` with these settings.
    fn with(extra: &str) -> Self {
        let mut bench = Self::start(Vec::new(), START_MS);
        let manifest = format!(r#"{{"name":"a","subscriptions":[{{"types":["order.*"]}}]{extra}}}"#);
        let Now { at_ms, wall_ms, .. } = bench.keeper.now();
        let deployed = Deployed { at_ms, wall_ms, ..deployed("a", manifest) };
        bench.stage(&Record::Deployed(deployed));
        bench.tell(Input::Ready { handler: &name("a"), digest: DIGEST });
        bench
    }

    /// A process that starts with this log and this wall-clock time.
    fn start(log: Vec<(Position, Record)>, wall_ms: u64) -> Self {
        let last_at_ms = log.last().map_or(0, |(_, record)| record.at_ms());
        let mut bench = Self {
            machine: Machine::new(Limits::default(), Entropy::seeded(1)),
            keeper: Timekeeper::new(last_at_ms, wall_ms, 7),
            wall_ms,
            monotonic_ms: 7,
            log: Vec::new(),
            actions: Vec::new(),
        };
        for (position, record) in log {
            bench.tell(Input::Staged { position, record: &record });
            bench.log.push((position, record));
        }
        bench.keeper.resume(bench.machine.anchors().newest());
        bench.tell(Input::Recovered);
        bench.tell(Input::Ready { handler: &name("a"), digest: DIGEST });
        bench.settle();
        bench
    }

    fn restart(&mut self, wall_ms: u64) {
        *self = Self::start(std::mem::take(&mut self.log), wall_ms);
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.apply(input, self.keeper.now(), &mut self.actions);
        self.perform();
    }

    /// Stages the records that it asks for.
    fn perform(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Stage(record) => drop(self.stage(&record)),
                Action::Commit { handler, outcomes, .. } => {
                    let outcome = &outcomes[0];
                    let commit = self.commit(handler, outcome.position, outcome.attempt, outcome.outcome.clone());
                    self.stage(&commit);
                }
                _ => {}
            }
        }
    }

    fn commit(&self, handler: HandlerName, event: Position, attempt: u32, outcome: Outcome) -> Record {
        let (at_ms, effects) = (self.keeper.now().at_ms, Effects::default());
        Record::Committed(Commit {
            handler,
            event,
            key: "k".to_owned(),
            attempt,
            version: Position::ZERO,
            digest: DIGEST,
            at_ms,
            outcome,
            effects,
            log: Vec::new(),
            depth: 0,
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
            state_version: 1,
            migrated_from: None,
        })
    }

    fn stage(&mut self, record: &Record) -> Position {
        if let Some(anchor) = self.keeper.anchor_wanted() {
            self.keeper.anchored(anchor);
            self.stage(&Record::TimeAnchored(anchor));
        }
        let position = self.head().next();
        self.log.push((position, record.clone()));
        self.tell(Input::Staged { position, record });
        position
    }

    fn head(&self) -> Position {
        self.log.last().map_or(Position::ZERO, |(first, record)| first.plus(record.width()).before())
    }

    fn settle(&mut self) {
        self.tell(Input::Durable { position: self.head() });
    }

    /// Time passes.
    fn pass(&mut self, ms: u64) {
        self.monotonic_ms += ms;
        self.set_wall(self.wall_ms + ms);
    }

    fn set_wall(&mut self, wall_ms: u64) {
        self.wall_ms = wall_ms;
        self.keeper.read(self.wall_ms, self.monotonic_ms);
        self.tell(Input::Tick);
        self.settle();
    }

    fn publish(&mut self) -> Position {
        let at_ms = self.keeper.now().at_ms;
        let position = self.stage(&Record::Accepted { event: event(1, "k", "order.placed"), to: None, at_ms });
        self.settle();
        self.tell(Input::Tick);
        position
    }

    fn fail(&mut self, position: Position, attempt: u32, failure: &AttemptFailure) {
        let results = [AttemptResult { position, attempt, result: Err(failure), corrected: false }];
        self.tell(Input::AttemptResults { handler: &name("a"), results: &results });
        self.settle();
    }

    /// The last attempt that began.
    fn attempt(&self) -> u32 {
        let attempts = self.log.iter().rev().find_map(|(_, record)| match record {
            Record::Attempted { attempt, .. } => Some(*attempt),
            _ => None,
        });
        attempts.unwrap_or(0)
    }

    fn wakes_in_ms(&self) -> Option<u64> {
        self.machine.wake_in_ms(self.keeper.now())
    }

    fn fire(&mut self, due_ms: u64, next_ms: Option<u64>) {
        let (timer, at_ms) = (timer(), self.keeper.now().at_ms);
        let event = Event { source: "/weirgate/schedules/a".into(), ..event(2, "k", "order.tick") };
        self.stage(&Record::Fired { timer, due_ms, next_ms, event, at_ms });
    }
}

fn timer() -> TimerId {
    TimerId { handler: name("a"), key: "k".into(), name: "often".into() }
}

/// A handler that waits ten seconds after each failure.
const SLOW: &str =
    r#","retry":[{"attempts":9,"first_delay_ms":10000,"factor":1,"delay_ms_max":10000,"jitter":"none"}]"#;

fn failed() -> (Bench, Position) {
    let mut bench = Bench::with(SLOW);
    let position = bench.publish();
    bench.fail(position, 1, &transient());
    assert_eq!(bench.wakes_in_ms(), Some(10_000));
    (bench, position)
}

#[test]
fn a_clock_that_is_set_changes_no_delay() {
    for wall_ms in [START_MS - HOUR_MS, START_MS + HOUR_MS, 0, 9_000 * HOUR_MS] {
        let (mut bench, _) = failed();
        bench.set_wall(wall_ms);
        assert_eq!((bench.wakes_in_ms(), bench.attempt()), (Some(10_000), 1));
        bench.pass(9_999);
        assert_eq!(bench.attempt(), 1);
        bench.pass(1);
        assert_eq!(bench.attempt(), 2, "set to {wall_ms}");
        assert!(bench.log.is_sorted_by_key(|(_, record)| record.at_ms()));
    }
}

#[test]
fn a_delay_that_began_after_a_step_lasts_as_long() {
    for wall_ms in [START_MS - HOUR_MS, START_MS + HOUR_MS] {
        let mut bench = Bench::with(SLOW);
        bench.set_wall(wall_ms);
        let position = bench.publish();
        bench.fail(position, 1, &transient());
        assert_eq!(bench.wakes_in_ms(), Some(10_000));
        let Some((_, Record::Committed(Commit { outcome: Outcome::Retry { due_ms, .. }, .. }))) = bench.log.last()
        else {
            panic!("{:?}", bench.log)
        };
        assert_eq!(*due_ms, wall_ms + 10_000, "people read it on their own clock");
    }
}

#[test]
fn a_restart_keeps_the_remaining_delay_at_any_wall_clock() {
    for (stepped, wall_ms) in
        [(START_MS, START_MS - HOUR_MS), (START_MS - HOUR_MS, 0), (START_MS + 9_000 * HOUR_MS, START_MS)]
    {
        let (mut bench, _) = failed();
        bench.set_wall(stepped);
        bench.pass(4_000);
        bench.restart(wall_ms);
        let left_ms = bench.wakes_in_ms().expect("a retry");
        assert!(left_ms <= 10_000, "{left_ms} ms are left");
        bench.pass(left_ms);
        assert_eq!(bench.attempt(), 2);
    }
}

#[test]
fn gap_waits_use_elapsed_time() {
    for wall_ms in [START_MS - HOUR_MS, START_MS + HOUR_MS] {
        let mut bench = Bench::with(r#","resequence":{"gap_timeout_ms":5000}"#);
        let mut second = event(1, "k", "order.placed");
        second.extensions.insert("sequence".to_owned(), "7".into());
        let at_ms = bench.keeper.now().at_ms;
        let position = bench.stage(&Record::Accepted { event: second, to: None, at_ms });
        bench.settle();
        let lane = weirgate_types::KeyHasher::default().hash("k");
        let reloaded = [weirgate_core::ReloadedLane { lane, rows: Vec::new(), more: false, next: None }];
        bench.tell(Input::Reloaded { handler: &name("a"), lanes: &reloaded, due: PerWait::default() });
        bench.set_wall(wall_ms);
        assert_eq!(bench.wakes_in_ms(), Some(5_000));
        let delivery = DeliveryId { handler: name("a"), position };
        assert_eq!(bench.machine.state(&delivery).map(DeliveryState::name), Some(StateName::OutOfOrder));
    }
}

#[test]
fn a_schedule_is_waited_for_from_its_deployment_on_and_again_after_it_fired() {
    let mut bench = Bench::with(r#","schedules":[{"name":"often","cron":"* * * * *","type":"order.tick","key":"k"}]"#);
    bench.settle();
    assert_eq!(bench.wakes_in_ms(), Some(MINUTE_MS));
    bench.pass(MINUTE_MS);
    // The views were read before the record that fires it was written.
    bench.fire(START_MS + MINUTE_MS, Some(START_MS + 2 * MINUTE_MS));
    bench.tell(Input::TimersRead { next_due_ms: None });
    assert_eq!(bench.wakes_in_ms(), Some(MINUTE_MS));
    bench.settle();
    bench.tell(Input::TimersRead { next_due_ms: None });
    assert_eq!(bench.wakes_in_ms(), None, "what can be found in the views by now is not there");
}

#[test]
fn timers_go_by_the_wall_clock() {
    let mut bench = Bench::with(r#","schedules":[{"name":"often","cron":"* * * * *","type":"order.tick","key":"k"}]"#);
    bench.set_wall(START_MS - HOUR_MS);
    assert_eq!(bench.wakes_in_ms(), Some(HOUR_MS + MINUTE_MS));
    bench.set_wall(START_MS + HOUR_MS);
    assert_eq!(bench.wakes_in_ms(), Some(0));
}

#[test]
fn an_anchor_counts_from_its_position_on() {
    let mut anchors = weirgate_core::Anchors::default();
    assert_eq!(anchors.elapsed_ms(Position(9), 70), 70);
    anchors.push(Position(10), Anchor { at_ms: 100, elapsed_ms: 50 });
    anchors.push(Position(20), Anchor { at_ms: 200, elapsed_ms: 60 });
    let elapsed = [(9, 90), (10, 100), (19, 150), (20, 200), (30, 205)];
    assert_eq!(elapsed.map(|(position, at_ms)| anchors.elapsed_ms(Position(position), at_ms)), [90, 50, 100, 60, 65]);
}
