//! Single histories of the engine, each about one promise that random ones would meet too seldom or not notice: versions of
//! attempts that were cut off, identities under load, a disk that stalls, and descriptors that run out.

mod repairs;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use weirgate_engine::{
    Clock, IdentityWindow, Ingested, Limits, Refusal,
    sim::{self, Answer, Attempted, Engine, Ground, Progress, Sizes, StepSizes},
};
use weirgate_host::{Host, HostOptions, Module};
use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt};
use weirgate_testkit::{Crash, ManualClock, SimStorage};
use weirgate_types::{Commit, Digest, Effects, Event, FailureKind, HandlerName, HostCall, Outcome, Record};
use weirgate_views::{MemoryStore, ViewOptions, Views};

const IDENTITY: Identity = Identity { epoch: Epoch([3; 16]), salt: Salt([4; 16]) };
const MANIFEST: &str = r#"{"name":"a","subscriptions":[{"types":["order.*"]}]}"#;
/// What the key of an open host breaker's row begins with.
const HOSTS: &[u8] = b"b";

/// What engines stand on, one after the other.
struct World {
    disk: SimStorage,
    rows: MemoryStore,
    identities: SimStorage,
    clock: Arc<ManualClock>,
    host: Arc<Host>,
    log: LogOptions,
    identity_window: IdentityWindow,
    events_in_flight_max: usize,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let compiler = vec![env!("CARGO_BIN_EXE_weirgate-sim").into(), "compile-module".into()];
        let host = Host::new(HostOptions::new(dir.path().to_owned(), compiler)).expect("a host");
        Self {
            disk: SimStorage::new(),
            rows: MemoryStore::default(),
            identities: SimStorage::new(),
            clock: Arc::new(ManualClock::new(2_000_000_000, 0)),
            host: Arc::new(host),
            log: LogOptions::default(),
            identity_window: IdentityWindow::default(),
            events_in_flight_max: 1 << 20,
            _dir: dir,
        }
    }

    /// A module that no other call with another name answers.
    fn module(&self, name: &str) -> Module {
        let bytes = weirgate_guests::in_handler("", &format!(r#"(func (export "{name}"))"#));
        self.host.load(self.host.put_module(&bytes).expect("a module").digest).expect("a module")
    }

    fn start(&self, module: &Module) -> Engine {
        let log = Log::open(Arc::new(self.disk.clone()), IDENTITY, self.log.clone()).expect("a log");
        let options = ViewOptions { pending_bytes_max: usize::MAX, ..ViewOptions::default() };
        let views =
            Views::simulated(self.rows.clone(), sim::TABLES, (log.epochs(), log.head()), options).expect("views");
        let mut engine = Engine::start(Ground {
            log,
            views,
            history: Arc::new(SimStorage::new()),
            identities: Arc::new(self.identities.clone()),
            identity_sizes: Sizes { generation: 400, bulk: 1_000 },
            host: Arc::clone(&self.host),
            module: module.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            limits: Limits::default(),
            steps: StepSizes::default(),
            identity_window: self.identity_window,
            events_in_flight_max: self.events_in_flight_max,
            seed: 1,
        })
        .expect("an engine");
        engine.pass().expect("a first pass");
        engine
    }

    /// Kill the engine: what was not synced is gone.
    fn kill(&mut self, engine: Engine) {
        drop(engine);
        self.disk = self.disk.crash(Crash::Keep(0));
        self.identities = self.identities.crash(Crash::Keep(0));
    }
}

fn handler() -> HandlerName {
    "a".parse().expect("a name")
}

fn deploy(engine: &mut Engine) {
    let mut answer = engine.deploy(handler(), MANIFEST.to_owned());
    engine.pass().expect("a pass");
    answer.poll().expect("an answer").expect("deployed");
}

fn event(id: usize) -> Event {
    Event {
        id: id.to_string(),
        source: "/stories".into(),
        r#type: "order.placed".into(),
        subject: Some(format!("k{}", id % 8)),
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: BTreeMap::new(),
        implied_key: None,
        data: vec![b'x'; 200],
    }
}

fn publish(engine: &Engine, ids: impl IntoIterator<Item = usize>) -> Vec<Answer<Vec<Ingested>>> {
    ids.into_iter().map(|id| engine.ingest(vec![event(id)]).expect("views that can be read")).collect()
}

/// The answers to publications, all of which are there.
fn acknowledged(answers: Vec<Answer<Vec<Ingested>>>) -> Vec<Ingested> {
    answers.into_iter().flat_map(|mut answer| answer.poll().expect("an answer").expect("an acknowledgement")).collect()
}

/// Let calls end well until nothing is left.
fn run_dry(engine: &mut Engine) {
    let done = || Attempted { result: Ok(Effects::default()), correction: None, log: Vec::new() };
    for _ in 0..10_000 {
        engine.pass().expect("a pass");
        let calls = engine.calls();
        if calls.is_empty() && engine.handlers().iter().all(|item| item.open == 0 && item.lag == 0) {
            return;
        }
        for call in calls {
            let attempted = call.items().map(|_| done()).collect();
            engine.end(call, attempted, Vec::new());
        }
    }
    panic!("it finds no rest: {:?}", engine.handlers());
}

fn records(engine: &Engine) -> Vec<Record> {
    engine.log().scan(weirgate_types::Position(1)).map(|read| read.expect("a record").1).collect()
}

/// The ids of the events in the log.
fn ids(engine: &Engine) -> Vec<usize> {
    let records = records(engine);
    let accepted = records.iter().filter_map(|record| match record {
        Record::Accepted { event, .. } if event.source == "/stories" => event.id.parse().ok(),
        _ => None,
    });
    accepted.collect()
}

/// The commits of attempts that were cut off.
fn interrupted(engine: &Engine) -> Vec<Commit> {
    let is_interrupted = |commit: &Commit| match &commit.outcome {
        Outcome::Retry { failure, .. } => failure.kind == FailureKind::Interrupted,
        _ => false,
    };
    let records = records(engine);
    records.iter().flat_map(Record::commits).filter(|commit| is_interrupted(commit)).cloned().collect()
}

/// Kill an engine during a call of version 1, before or after version 2 is deployed. Answers the digest of version 1, and what the
/// next engine recorded of the attempt.
fn cut_off(deploys: bool, are_views_kept: bool) -> (Digest, Vec<Commit>) {
    let mut world = World::new();
    let [first, second] = ["first", "second"].map(|name| world.module(name));
    let mut engine = world.start(&first);
    deploy(&mut engine);
    let answers = publish(&engine, [1]);
    engine.pass().expect("a pass");
    acknowledged(answers);
    assert_eq!(engine.calls().len(), 1, "a call of version 1 is under way");
    if deploys {
        engine.use_module(second.clone());
        deploy(&mut engine);
    }
    if are_views_kept {
        engine.views().flush().expect("views that can be written");
    }
    world.kill(engine);
    let engine = world.start(&second);
    let digests: Vec<_> = engine.handlers().into_iter().map(|item| item.digest).collect();
    let deployed = if deploys { &second } else { &first };
    assert_eq!(digests, [deployed.info().digest], "the last version is deployed");
    assert_ne!(first.info().digest, second.info().digest);
    (first.info().digest, interrupted(&engine))
}

#[test]
fn an_attempt_that_was_cut_off_names_its_version_and_a_discarded_one_is_not_cut_off() {
    for are_views_kept in [true, false] {
        let (begun_under, commits) = cut_off(false, are_views_kept);
        let digests: Vec<_> = commits.iter().map(|commit| commit.digest).collect();
        assert_eq!(digests, [begun_under], "views kept: {are_views_kept}");
        let (_, commits) = cut_off(true, are_views_kept);
        assert!(commits.is_empty(), "the deployment discarded it, views kept: {are_views_kept}");
    }
}

#[test]
fn identities_are_forgotten_as_fast_as_events_come() {
    const WINDOW: usize = 500;
    const EVERY_PASS: usize = 1_000;
    let mut world = World::new();
    world.identity_window.positions = WINDOW as u64;
    let mut engine = world.start(&world.module("m"));
    let mut most = 0;
    for pass in 0..30 {
        let answers = publish(&engine, (0..EVERY_PASS).map(|n| pass * EVERY_PASS + n));
        engine.pass().expect("a pass");
        acknowledged(answers);
        while engine.identities().make_next().expect("made") != Progress::Nothing {}
        most = most.max(engine.identities().runs().1);
    }
    assert!(most >= WINDOW as u64, "the window's identities are kept: {most}");
    assert!(most <= (WINDOW + 3 * EVERY_PASS) as u64, "{most} identities were kept for a window of {WINDOW}");
    assert!(engine.identities().all().expect("identities").len() >= WINDOW);
    let answers = publish(&engine, [0, 30 * EVERY_PASS - 1]);
    engine.pass().expect("a pass");
    let duplicates: Vec<_> = acknowledged(answers).iter().map(|ingested| ingested.duplicate).collect();
    assert_eq!(duplicates, [false, true], "the first is out of the window, the last is in it");
}

type Publication = Pin<Box<dyn Future<Output = Result<Vec<Ingested>, Refusal>> + Send>>;

fn poll(publication: &mut Publication) -> Option<Result<Vec<Ingested>, Refusal>> {
    match publication.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

#[test]
fn a_disk_that_stalls_for_thirty_seconds_costs_nothing_but_time() {
    const IN_FLIGHT_MAX: usize = 20;
    let mut world = World::new();
    world.events_in_flight_max = IN_FLIGHT_MAX;
    let module = world.module("m");
    let mut engine = world.start(&module);
    deploy(&mut engine);
    let (handle, clock) = (engine.handle().clone(), Arc::clone(&world.clock));
    let publish_one = move |id: usize| -> Publication {
        let handle = handle.clone();
        Box::pin(async move { handle.ingest(vec![event(id)], None, None).await })
    };
    // What is published before the stall, and while it lasts.
    let mut before: Vec<_> = (0..10).map(&publish_one).collect();
    assert!(before.iter_mut().all(|publication| poll(publication).is_none()), "they wait for the commit");
    let meanwhile = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let seen = Arc::clone(&meanwhile);
    world.disk.stall(move || {
        let mut guard = seen.lock().expect("no panic");
        for id in 10..40 {
            clock.pass(1_000);
            let mut publication = publish_one(id);
            match poll(&mut publication) {
                None => guard.0.push(publication),
                Some(answer) => guard.1.push(answer),
            }
        }
    });
    engine.pass().expect("the stall does not end the engine");
    let (mut waiting, refused) = std::mem::take(&mut *meanwhile.lock().expect("no panic"));
    assert_eq!(world.clock.monotonic().as_secs(), 30);
    assert_eq!((waiting.len(), refused.len()), (IN_FLIGHT_MAX - 10, 20), "as many wait as may be in flight");
    assert!(refused.iter().all(|answer| matches!(answer, Err(Refusal::Busy))), "{refused:?}");
    engine.pass().expect("a pass after the stall");
    let answers = before.iter_mut().chain(&mut waiting).map(|publication| poll(publication).expect("an answer"));
    let answers: Vec<_> = answers.collect();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(answers.len(), IN_FLIGHT_MAX);
    assert_eq!(ids(&engine), (0..IN_FLIGHT_MAX).collect::<Vec<_>>());
    run_dry(&mut engine);
    // A crash right behind it takes nothing that was acknowledged.
    world.kill(engine);
    let mut engine = world.start(&module);
    engine.ready(handler());
    assert_eq!(ids(&engine), (0..IN_FLIGHT_MAX).collect::<Vec<_>>());
    let answers = publish(&engine, [40]);
    engine.pass().expect("a pass");
    acknowledged(answers);
    run_dry(&mut engine);
}

#[test]
fn an_engine_without_a_free_descriptor_waits_and_goes_on() {
    let mut world = World::new();
    // Each pass needs a segment.
    world.log = LogOptions { segment_bytes_max: 2_000, reserve_bytes: 0, ..LogOptions::default() };
    let module = world.module("m");
    let mut engine = world.start(&module);
    deploy(&mut engine);
    let answers = publish(&engine, 0..20);
    engine.pass().expect("a pass");
    acknowledged(answers);
    world.disk.lack_descriptors(5);
    let mut answers = publish(&engine, 20..40);
    engine.pass().expect("it waits for a descriptor as for disk space");
    let unknown = answers.iter_mut().filter_map(Answer::poll);
    let unknown: Vec<_> = unknown.filter(|answer| matches!(answer, Err(Refusal::OutcomeUnknown))).collect();
    assert_eq!(unknown.len(), 20, "those that wait are told that it takes long");
    let again = publish(&engine, 20..41);
    engine.pass().expect("a pass");
    let duplicates = acknowledged(again).iter().filter(|ingested| ingested.duplicate).count();
    assert_eq!(duplicates, 20, "what was pending became durable");
    run_dry(&mut engine);
    world.kill(engine);
    let engine = world.start(&module);
    assert_eq!(ids(&engine), (0..41).collect::<Vec<_>>());
}

#[test]
fn host_breaker_dropped_by_two_deployments_in_one_pass_leaves_no_row() {
    let mut world = World::new();
    let module = world.module("m");
    let mut engine = world.start(&module);
    let manifest = |more: &str| MANIFEST.replacen('{', &format!("{{{more},"), 1);
    let mut answer = engine.deploy(handler(), manifest(r#""capabilities":{"hosts":["https://payments"]}"#));
    engine.pass().expect("a pass");
    answer.poll().expect("an answer").expect("a deployment");
    let answers = publish(&engine, [1]);
    engine.pass().expect("a pass");
    acknowledged(answers);
    let call = engine.calls().pop().expect("a call");
    let failed = HostCall { host: "payments".to_owned(), is_success: false };
    let attempted = Attempted { result: Ok(Effects::default()), correction: None, log: Vec::new() };
    engine.end(call, vec![attempted], vec![failed; 20]);
    engine.pass().expect("a pass");
    engine.views().flush().expect("views that can be written");
    let rows = |world: &World| world.rows.all().iter().filter(|(key, _)| key.starts_with(HOSTS)).count();
    assert_eq!(rows(&world), 1, "the host's breaker is open");
    // These do not name the host.
    let answers = [1, 2].map(|n| engine.deploy(handler(), manifest(&format!(r#""concurrency":{n}"#))));
    engine.pass().expect("a pass");
    assert!(answers.into_iter().all(|mut answer| answer.poll().is_some_and(|answer| answer.is_ok())));
    engine.views().flush().expect("views that can be written");
    assert_eq!(rows(&world), 0);
    world.kill(engine);
    assert_eq!(world.start(&module).machine().hosts().count(), 0);
}
