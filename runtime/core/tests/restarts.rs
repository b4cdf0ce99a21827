//! Random histories with crashes at random moments: no event is lost, none is completed twice, and order is kept as far as
//! the handler's settings promise. Views are kept at random moments too, so that a restart finds them older than the log;
//! handlers change their subscriptions; deliveries wait, die and are opened again; waiting ones are on disk.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use weirgate_core::{DeliveryPhase, Entropy, Limits};
use weirgate_types::{
    AttemptFailure, BreakerId, Carried, DeliveryCommand, DeliveryId, HandlerName, Outcome, Position, Record,
};
use world::{World, correctable, correction, name, not_reached, permanent, transient};

const HANDLERS: [&str; 2] = ["a", "b"];
const RETRY: &str = r#","concurrency":3,"retry":[{"attempts":1000,"first_delay_ms":50,"delay_ms_max":200}]"#;
const BREAKER: &str =
    r#","breaker":{"window_ms":1000,"attempts_min":4,"failure_ratio":0.5,"open_ms":50,"open_ms_max":200}"#;

/// Delivery settings of a handler, and what they promise.
#[derive(Clone, Copy)]
struct Kind {
    settings: &'static str,
    order: Order,
    /// A dead letter holds its key.
    holds: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Key,
    Handler,
    None,
    /// The order of the emissions.
    Emitted,
}

const KINDS: [Kind; 7] = [
    Kind { settings: "", order: Order::Key, holds: false },
    Kind { settings: r#","after_dead_letter":"hold""#, order: Order::Key, holds: true },
    Kind { settings: r#","batch":{"events_max":4}"#, order: Order::Key, holds: false },
    Kind { settings: r#","batch":{"events_max":4},"after_dead_letter":"hold""#, order: Order::Key, holds: true },
    Kind { settings: r#","ordering":"handler""#, order: Order::Handler, holds: false },
    Kind { settings: r#","ordering":"none""#, order: Order::None, holds: false },
    Kind { settings: r#","ordering":"none","emit_order":"input""#, order: Order::Emitted, holds: false },
];

/// A published event: position, key, type, and the handlers that take it.
struct Published {
    position: Position,
    key: String,
    takers: BTreeSet<HandlerName>,
}

struct History {
    seed: u64,
    entropy: Entropy,
    world: World,
    kinds: BTreeMap<HandlerName, (Kind, bool)>,
    also_payments: BTreeSet<HandlerName>,
    published: Vec<Published>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut entropy = Entropy::seeded(seed);
        let waiting_max = usize::try_from(entropy.draw() % 4).expect("small");
        let mut world = World::new(Limits { active_max: 5, open_max: 12, waiting_max, ..Limits::default() });
        world.emits = true;
        let kinds = HANDLERS.map(|handler| {
            let kind = KINDS[usize::try_from(entropy.draw()).unwrap_or(0) % KINDS.len()];
            (name(handler), (kind, entropy.draw().is_multiple_of(3)))
        });
        let (kinds, also_payments, published) = (kinds.into(), BTreeSet::new(), Vec::new());
        let mut history = Self { seed, entropy, world, kinds, also_payments, published };
        for handler in HANDLERS {
            history.deploy(handler);
        }
        history
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.entropy.draw().is_multiple_of(one_in)
    }

    fn some_handler(&mut self) -> &'static str {
        if self.chance(2) { HANDLERS[0] } else { HANDLERS[1] }
    }

    fn deploy(&mut self, handler: &str) {
        let payments = if self.also_payments.contains(&name(handler)) { r#","pay.*""# } else { "" };
        let (kind, has_breaker) = self.kinds[&name(handler)];
        let breaker = if has_breaker { BREAKER } else { "" };
        let subscription = format!(r#"{{"types":["order.*"{payments}],"corrections":["fix.*"]}}"#);
        let settings = kind.settings;
        let manifest = format!(r#"{{"name":"{handler}","subscriptions":[{subscription}]{RETRY}{settings}{breaker}}}"#);
        self.world.stage(Record::Deployed(world::deployed(handler, manifest)));
        self.world.ready(handler);
    }

    fn publish(&mut self, id: u64) {
        let key = format!("key-{}", self.entropy.draw() % 6);
        if self.chance(8) {
            self.world.publish_as(id, &key, "fix.address");
            return;
        }
        let is_payment = self.chance(4);
        let takers = HANDLERS.map(name).into_iter().filter(|name| !is_payment || self.also_payments.contains(name));
        let takers = takers.collect();
        let position = self.world.publish_as(id, &key, if is_payment { "pay.done" } else { "order.placed" });
        self.published.push(Published { position, key, takers });
    }

    fn step(&mut self) {
        for _ in 0..self.entropy.draw() % 4 {
            self.answer_one();
        }
        self.world.wait(self.entropy.draw() % 40);
        if self.chance(9) {
            let handler = self.some_handler();
            let paused = self.world.handler(handler).mode == weirgate_types::Mode::Paused;
            self.world.pause(handler, !paused);
        }
        if self.chance(12) {
            let handler = self.some_handler();
            if !self.also_payments.remove(&name(handler)) {
                self.also_payments.insert(name(handler));
            }
            self.deploy(handler);
        }
        if self.chance(10) {
            self.resubmit();
        }
        if self.chance(15) {
            let (breaker, open) = (BreakerId::Handler(name(self.some_handler())), self.chance(2));
            self.world.set_breaker(&breaker, open);
        }
        if self.chance(6) {
            self.world.keep_view();
        }
        if self.chance(15) {
            let with_view = self.chance(2);
            self.world.restart(with_view);
        }
    }

    fn failure(&mut self) -> Option<AttemptFailure> {
        match self.entropy.draw() % 16 {
            0 => Some(permanent()),
            1 => Some(correctable()),
            2 | 3 => Some(transient()),
            _ => None,
        }
    }

    /// A random call ends: in a batch, items after a failure of their key were not reached.
    fn answer_one(&mut self) {
        if self.world.calls.is_empty() {
            return;
        }
        let index = usize::try_from(self.entropy.draw()).unwrap_or(0) % self.world.calls.len();
        self.world.calls.swap(0, index);
        let of_call: Vec<_> = self.world.batch_of_first();
        let mut failed = BTreeSet::new();
        let mut failures = BTreeMap::new();
        for position in of_call {
            let key = self.world.event_at(position).key().to_owned();
            let failure = if failed.contains(&key) { Some(not_reached()) } else { self.failure() };
            if let Some(failure) = failure {
                failed.insert(key);
                failures.insert(position, failure);
            }
        }
        self.world.answer_batch(|position| failures.get(&position).map_or(Ok(()), |failure| Err(failure.clone())));
    }

    /// The present dead letters.
    fn dead(&self) -> BTreeSet<DeliveryId> {
        let mut dead = BTreeSet::new();
        for (_, record) in &self.world.log {
            for commit in record.commits() {
                if matches!(commit.outcome, Outcome::DeadLettered { .. }) {
                    dead.insert(commit.delivery());
                }
            }
            if let Record::DeliveryDecided(decided) = record {
                dead.remove(&decided.delivery);
            }
        }
        dead
    }

    /// Retries dead letters and corrects waiting deliveries.
    fn resubmit(&mut self) {
        let waiting = self.world.rows.iter().filter(|(_, row)| row.phase == DeliveryPhase::AwaitingCorrection);
        let waiting: Vec<_> = waiting.map(|(delivery, _)| (delivery.clone(), correction())).collect();
        let dead = self.dead().into_iter().map(|delivery| (delivery, DeliveryCommand::Retry));
        for (delivery, command) in dead.chain(waiting) {
            let key = self.world.event_at(delivery.position).key().to_owned();
            if self
                .world
                .rows
                .get(&delivery)
                .is_none_or(|row| matches!(row.phase, DeliveryPhase::AwaitingCorrection | DeliveryPhase::Held))
            {
                self.world.command(&delivery, &key, command, Carried::default());
            }
        }
    }

    /// Two deliveries of one lane never run at once.
    fn check_running(&self) {
        let mut busy = BTreeSet::new();
        for (delivery, _) in self.world.calls.iter().filter(|(id, _)| self.world.leads_its_call(id)) {
            let key = self.world.event_at(delivery.position).key();
            let lane = match self.kinds[&delivery.handler].0.order {
                Order::Key => key,
                Order::Handler => "",
                Order::None | Order::Emitted => continue,
            };
            assert!(busy.insert((&delivery.handler, lane)), "seed {}: {key} runs twice", self.seed);
        }
    }

    /// No more failures: every delivery must be closed.
    fn heal(&mut self) {
        for handler in HANDLERS {
            self.world.pause(handler, false);
            self.world.set_breaker(&BreakerId::Handler(name(handler)), false);
        }
        for _ in 0..10_000 {
            self.world.wait(200);
            while !self.world.calls.is_empty() {
                self.world.answer_batch(|_| Ok(()));
            }
            self.resubmit();
            let is_done = |handler| {
                let view = self.world.handler(handler);
                view.open == 0 && view.checkpoint == self.world.head()
            };
            if self.world.calls.is_empty() && HANDLERS.into_iter().all(is_done) {
                return;
            }
        }
        panic!("seed {}: work is left: {:#?} {:#?}", self.seed, self.world.rows, self.world.machine);
    }

    fn check(&self) {
        let seed = self.seed;
        for handler in HANDLERS.map(name) {
            let done = self.world.log.iter().flat_map(|(_, record)| record.commits());
            let done = done.filter(|commit| commit.handler == handler);
            let done = done.filter(|commit| matches!(commit.outcome, Outcome::Completed | Outcome::Withheld));
            let done: Vec<_> = done.map(|commit| commit.event).collect();
            let mut sorted = done.clone();
            sorted.sort();
            let wanted = self.published.iter().filter(|event| event.takers.contains(&handler));
            let wanted: Vec<_> = wanted.map(|event| event.position).collect();
            assert_eq!(sorted, wanted, "seed {seed}, handler {handler}: each once");
            match self.kinds[&handler].0.order {
                Order::Emitted => self.check_order(&handler, &self.world.emitted_by(&handler)),
                Order::None => {}
                Order::Key | Order::Handler => self.check_order(&handler, &done),
            }
        }
        assert!(self.world.rows.is_empty(), "seed {seed}: rows are left: {:?}", self.world.rows);
    }

    /// A dead letter that was retried has no order, unless its key waited; all others keep theirs.
    fn check_order(&self, handler: &HandlerName, done: &[Position]) {
        let dead = self.world.log.iter().flat_map(|(_, record)| record.commits());
        let dead = dead.filter(|commit| matches!(commit.outcome, Outcome::DeadLettered { .. }));
        let dead: BTreeSet<_> = dead.filter(|commit| commit.handler == *handler).map(|commit| commit.event).collect();
        let keys: BTreeMap<_, _> = self.published.iter().map(|event| (event.position, event.key.as_str())).collect();
        let kind = self.kinds[handler].0;
        let mut last = BTreeMap::new();
        for position in done.iter().filter(|position| kind.holds || !dead.contains(position)) {
            let lane = if kind.order == Order::Handler { "" } else { keys[position] };
            let before = last.insert(lane, position);
            assert!(before.is_none_or(|before| before < position), "seed {}, handler {handler}: order", self.seed);
        }
    }
}

fn run(seed: u64) {
    let mut history = History::new(seed);
    for id in 0..100 {
        history.publish(id);
        history.step();
        history.check_running();
    }
    history.heal();
    history.check();
}

#[test]
fn random_histories_keep_the_guarantees() {
    for seed in 0..2_000 {
        run(seed);
    }
}

/// Paste a failing seed here to run it alone.
#[test]
fn one_history() {
    run(1);
}
