//! Repairs: what one writes, shows and keeps, and when it is refused.

use weirgate_engine::{
    Audit, Refusal, ReplayState, ReplayStep,
    sim::{Answer, Engine, Hold},
};
use weirgate_testkit::Fault;
use weirgate_types::{
    Digest, Effects, Position, Repaired, ReplayEnd, StateWrite, StatusWrite, TimerSetting, TimerWrite,
};

use super::{MANIFEST, World, deploy, handler};

fn audit() -> Audit {
    Audit { actor: "ada".to_owned(), reason: "a lost line".to_owned() }
}

/// What the engine answers after a pass.
fn answered<T>(engine: &mut Engine, mut answer: Answer<T>) -> Result<T, Refusal> {
    engine.pass().expect("a pass");
    answer.poll().expect("an answer")
}

/// An engine on which the handler is deployed.
fn deployed(world: &World) -> Engine {
    let mut engine = world.start(&world.module("m"));
    deploy(&mut engine);
    engine
}

fn step(engine: &mut Engine, step: ReplayStep) -> Result<Position, Refusal> {
    let answer = engine.step_replay(step, audit());
    answered(engine, answer)
}

fn approval(replay: Position, undoes: bool) -> ReplayStep {
    let (plan, choices) = (Digest([7; 32]), "{}".to_owned());
    ReplayStep::Approve { replay, plan, through: replay, choices, undoes, version: None }
}

fn request(engine: &mut Engine) -> Position {
    step(engine, ReplayStep::Request { handler: handler(), request: "{}".to_owned() }).expect("a replay")
}

fn state(engine: &Engine, replay: Position) -> ReplayState {
    engine.replay_row(replay).expect("views that can be read").expect("a row").state
}

/// Approves a replay, and begins to apply it. Returns the position of the approval.
fn begin(engine: &mut Engine, replay: Position) -> Position {
    let approved = step(engine, approval(replay, false)).expect("approved");
    step(engine, ReplayStep::Begin { replay, approved, undoes: false }).expect("begun");
    approved
}

fn hold(engine: &mut Engine) -> Hold {
    let mut holding = engine.hold_key(handler(), "k1".to_owned());
    engine.pass().expect("a pass");
    holding.poll().expect("an answer").expect("a hold")
}

/// A repair of `k1` that sets its state and, if `state` is one, its status; else it has none.
fn repaired(engine: &Engine, replay: Position, state: Option<&str>, bytes: usize) -> Repaired {
    let status = state.map(|state| StatusWrite {
        subject: "k1".to_owned(),
        state: state.to_owned(),
        text: String::new(),
        data: None,
    });
    let value = Some(vec![7; bytes]);
    let writes = vec![StateWrite { name: "count".to_owned(), value }];
    Repaired {
        replay,
        handler: handler(),
        key: "k1".to_owned(),
        part: 0,
        state_version: 1,
        version: engine.handlers().first().map_or(Position::ZERO, |item| item.version),
        from: Position(1),
        through: replay,
        depth: 1,
        effects: Effects { state: writes, status: status.iter().cloned().collect(), ..Effects::default() },
        unset: if state.is_none() { vec!["k1".to_owned()] } else { Vec::new() },
        corrected: None,
        is_undo: false,
        actor: "ada".to_owned(),
        reason: String::new(),
        at_ms: 0,
    }
}

/// The parts of `k1` as readers see them: whether each is corrected.
fn shown(engine: &Engine) -> (u64, Vec<(String, bool)>) {
    let document = engine.handle().hub().document_blocking("k1").expect("views that can be read").shown();
    let parts = document.parts.into_iter().map(|(name, part)| (name, part.corrected));
    (document.version.0, parts.collect())
}

#[test]
fn a_key_is_repaired_and_its_status_corrected_and_removed() {
    let mut world = World::new();
    let module = world.module("m");
    let mut engine = world.start(&module);
    deploy(&mut engine);
    let replay = step(&mut engine, ReplayStep::Request { handler: handler(), request: "{}".to_owned() });
    let replay = replay.expect("a replay");
    let refused = |engine: &mut Engine| {
        let held = hold(engine);
        let refused = engine.repair(&held, repaired(engine, replay, Some("done"), 1), false);
        assert!(matches!(answered(engine, refused), Err(Refusal::ReplayState { .. })));
    };
    let begin_of = |approved| ReplayStep::Begin { replay, approved, undoes: false };
    refused(&mut engine);
    assert!(matches!(step(&mut engine, begin_of(replay)), Err(Refusal::ReplayState { .. })), "it is not approved");
    step(&mut engine, approval(replay, false)).expect("approved");
    refused(&mut engine);
    let earlier = begin(&mut engine, replay);
    step(&mut engine, approval(replay, false)).expect("approved anew");
    refused(&mut engine);
    assert!(matches!(step(&mut engine, begin_of(earlier)), Err(Refusal::ReplayState { .. })), "that approval is over");
    begin(&mut engine, replay);
    // Its hold ended with the refusal; it does not matter that a value is large.
    for (state, bytes) in [(Some("done"), 100_000), (None, 1)] {
        let hold = hold(&mut engine);
        let answer = engine.repair(&hold, repaired(&engine, replay, state, bytes), false);
        let position = answered(&mut engine, answer).expect("repaired");
        assert_eq!(engine.state(&handler(), "k1", "count"), Some(vec![7; bytes]));
        let parts = state.map(|_| ("a".to_owned(), true));
        assert_eq!(shown(&engine), (position.0, parts.into_iter().collect()), "the version grows with each");
    }
    engine.views().flush().expect("views that can be written");
    // A restart from the log alone has the same.
    world.kill(engine);
    world.rows.clear();
    let mut engine = world.start(&module);
    engine.ready(handler());
    assert_eq!((engine.state(&handler(), "k1", "count"), shown(&engine).1), (Some(vec![7]), Vec::new()));
    let row = engine.replay_row(replay).expect("views that can be read").expect("a row");
    assert_eq!((row.state, row.keys, row.records), (ReplayState::Applying, 1, 2));
    let ended = ReplayStep::End { replay, end: ReplayEnd::Applied };
    step(&mut engine, ended.clone()).expect("ended");
    assert!(matches!(step(&mut engine, ended), Err(Refusal::ReplayState { .. })), "it ends once");
}

#[test]
fn a_repair_is_refused_when_it_no_longer_fits() {
    let world = World::new();
    let [first, second] = ["first", "second"].map(|name| world.module(name));
    let mut engine = world.start(&first);
    deploy(&mut engine);
    let requested = |handler| ReplayStep::Request { handler, request: "{}".to_owned() };
    assert!(matches!(step(&mut engine, requested("b".parse().expect("a name"))), Err(Refusal::UnknownHandler(_))));
    let [replay, other] = [1, 2].map(|_| step(&mut engine, requested(handler())).expect("a replay"));
    begin(&mut engine, replay);
    let busy = step(&mut engine, approval(other, false));
    assert!(matches!(busy, Err(Refusal::ReplayUnderWay { replay: one, .. }) if one == replay), "{busy:?}");
    let removed = engine.remove(handler(), audit());
    assert!(matches!(answered(&mut engine, removed), Err(Refusal::ReplayUnderWay { .. })));
    // Another version is in force.
    let (held, old) = (hold(&mut engine), repaired(&engine, replay, None, 1));
    engine.use_module(second);
    deploy(&mut engine);
    let answer = engine.repair(&held, old, false);
    assert!(matches!(answered(&mut engine, answer), Err(Refusal::VersionChanged(_))));
    // It is too large, by a byte or so. For the version that is in force now it has to be approved again.
    begin(&mut engine, replay);
    let held = hold(&mut engine);
    let answer = engine.repair(&held, repaired(&engine, replay, None, 10 << 20), false);
    assert!(matches!(answered(&mut engine, answer), Err(Refusal::RepairTooLarge { .. })));
    // The hold's time is over; and one key is on hold once.
    let held = hold(&mut engine);
    let mut again = engine.hold_key(handler(), "k1".to_owned());
    engine.pass().expect("a pass");
    assert!(matches!(again.poll(), Some(Err(Refusal::KeyOnHold(_)))));
    world.clock.pass(1_000);
    let answer = engine.repair(&held, repaired(&engine, replay, None, 1), false);
    assert!(matches!(answered(&mut engine, answer), Err(Refusal::HoldOver)));
    step(&mut engine, ReplayStep::End { replay, end: ReplayEnd::Cancelled }).expect("cancelled");
    let removed = engine.remove(handler(), audit());
    answered(&mut engine, removed).expect("removed");
    // The name's next handler is another one.
    deploy_when_free(&mut engine);
    let gone = step(&mut engine, approval(other, false));
    assert!(matches!(gone, Err(Refusal::HandlerReplaced { .. })), "{gone:?}");
}

/// An application went on under a version that its approver never saw.
#[test]
fn another_version_ends_what_was_approved_for_the_one_before() {
    let world = World::new();
    let [first, second] = ["first", "second"].map(|name| world.module(name));
    let mut engine = world.start(&first);
    deploy(&mut engine);
    let replay = request(&mut engine);
    let approved = begin(&mut engine, replay);
    let repair = |engine: &mut Engine| {
        let held = hold(engine);
        let answer = engine.repair(&held, repaired(engine, replay, Some("done"), 1), false);
        answered(engine, answer)
    };
    repair(&mut engine).expect("repaired");
    let version = engine.handlers().first().map(|item| item.version);
    engine.use_module(second);
    deploy(&mut engine);
    let refused = repair(&mut engine);
    assert!(matches!(refused, Err(Refusal::ApprovalOver { .. })), "{refused:?}");
    let begin_again = ReplayStep::Begin { replay, approved, undoes: false };
    assert!(matches!(step(&mut engine, begin_again.clone()), Err(Refusal::ApprovalOver { .. })));
    step(&mut engine, ReplayStep::End { replay, end: ReplayEnd::InPart }).expect("ended");
    assert_eq!(state(&engine, replay), ReplayState::AppliedInPart);
    assert!(matches!(step(&mut engine, begin_again), Err(Refusal::ApprovalOver { .. })), "it is not begun again");
    // Between the look at the version in force and the approval, another was deployed.
    let approval_of = |version| {
        let (plan, choices) = (Digest([7; 32]), "{}".to_owned());
        ReplayStep::Approve { replay, plan, through: replay, choices, undoes: false, version }
    };
    assert!(matches!(step(&mut engine, approval_of(version)), Err(Refusal::VersionChanged(_))));
    let in_force = engine.handlers().first().map(|item| item.version);
    let approved = step(&mut engine, approval_of(in_force)).expect("approved");
    step(&mut engine, ReplayStep::Begin { replay, approved, undoes: false }).expect("begun");
    repair(&mut engine).expect("repaired");
}

/// A replay of which keys were left blocked the others of its handler, and its removal, though nothing ran.
#[test]
fn a_replay_that_ended_in_part_leaves_its_handler_to_others() {
    let world = World::new();
    let mut engine = deployed(&world);
    let [replay, other] = [1, 2].map(|_| request(&mut engine));
    let approved = begin(&mut engine, replay);
    let in_part = ReplayStep::End { replay, end: ReplayEnd::InPart };
    step(&mut engine, in_part.clone()).expect("ended");
    assert!(matches!(step(&mut engine, in_part.clone()), Err(Refusal::ReplayState { .. })), "it ends once");
    step(&mut engine, approval(other, false)).expect("approved beside it");
    let begin_again = ReplayStep::Begin { replay, approved, undoes: false };
    let busy = step(&mut engine, begin_again.clone());
    assert!(matches!(busy, Err(Refusal::ReplayUnderWay { replay: one, .. }) if one == other), "{busy:?}");
    let busy = busy.expect_err("it is busy").to_string();
    assert!(busy.contains("is approved: apply it, or cancel it"), "{busy}");
    step(&mut engine, ReplayStep::End { replay: other, end: ReplayEnd::Cancelled }).expect("cancelled");
    step(&mut engine, begin_again).expect("it goes on");
    step(&mut engine, in_part).expect("ended");
    let third = request(&mut engine);
    step(&mut engine, approval(third, false)).expect("approved");
    step(&mut engine, ReplayStep::End { replay, end: ReplayEnd::Cancelled }).expect("cancelled");
    let removed = engine.remove(handler(), audit());
    let refused = answered(&mut engine, removed);
    assert!(matches!(refused, Err(Refusal::ReplayUnderWay { replay: one, .. }) if one == third), "{refused:?}");
    step(&mut engine, ReplayStep::End { replay: third, end: ReplayEnd::Cancelled }).expect("cancelled");
    let removed = engine.remove(handler(), audit());
    answered(&mut engine, removed).expect("removed");
}

/// An undo that was computed before later repairs of its replay left these in place, and ended it for good.
#[test]
fn an_undo_from_before_a_repair_is_not_approved() {
    let world = World::new();
    let mut engine = deployed(&world);
    let replay = request(&mut engine);
    begin(&mut engine, replay);
    let held = hold(&mut engine);
    let answer = engine.repair(&held, repaired(&engine, replay, Some("done"), 1), false);
    let last = answered(&mut engine, answer).expect("repaired");
    step(&mut engine, ReplayStep::End { replay, end: ReplayEnd::InPart }).expect("ended");
    let undo = |through| {
        let (plan, choices) = (Digest([7; 32]), "{}".to_owned());
        ReplayStep::Approve { replay, plan, through, choices, undoes: true, version: None }
    };
    let refused = step(&mut engine, undo(last));
    assert!(matches!(refused, Err(Refusal::ReplayState { .. })), "it was not asked for: {refused:?}");
    step(&mut engine, ReplayStep::RequestUndo { replay }).expect("asked for");
    let again = step(&mut engine, ReplayStep::RequestUndo { replay });
    assert!(matches!(again, Err(Refusal::ReplayState { .. })), "once is enough: {again:?}");
    assert!(matches!(step(&mut engine, undo(Position(last.0 - 1))), Err(Refusal::ReplayNotReady(_))));
    let approved = step(&mut engine, undo(last)).expect("approved");
    step(&mut engine, ReplayStep::Begin { replay, approved, undoes: true }).expect("begun");
    step(&mut engine, ReplayStep::End { replay, end: ReplayEnd::InPart }).expect("ended");
    assert_eq!(state(&engine, replay), ReplayState::UndoneInPart);
    assert!(matches!(step(&mut engine, approval(replay, false)), Err(Refusal::ReplayState { .. })));
    step(&mut engine, undo(last)).expect("approved again");
}

/// A timer that was pending when its plan was computed fired at once when the plan was applied later.
#[test]
fn a_timer_that_came_due_is_not_set() {
    let world = World::new();
    let mut engine = deployed(&world);
    let replay = request(&mut engine);
    begin(&mut engine, replay);
    let now_ms = world.clock.wall_ms();
    let repair = |engine: &mut Engine, due_ms| {
        let held = hold(engine);
        let mut repaired = repaired(engine, replay, Some("done"), 1);
        let setting = TimerSetting { due_ms, r#type: "end".into(), data_content_type: None, data: Vec::new() };
        repaired.effects.timers = vec![TimerWrite { name: "end".into(), set: Some(setting) }];
        let answer = engine.repair(&held, repaired, false);
        answered(engine, answer)
    };
    repair(&mut engine, now_ms + 3_600_000).expect("it is to come");
    world.clock.pass(1_000);
    let refused = repair(&mut engine, now_ms + 500);
    assert!(matches!(refused, Err(Refusal::TimerDue)), "{refused:?}");
    let choices = r#"{"fire_past":true}"#.to_owned();
    let plan = Digest([7; 32]);
    let approve = ReplayStep::Approve { replay, plan, through: replay, choices, undoes: false, version: None };
    let approved = step(&mut engine, approve).expect("approved");
    step(&mut engine, ReplayStep::Begin { replay, approved, undoes: false }).expect("begun");
    repair(&mut engine, now_ms + 500).expect("it may fire");
}

#[test]
fn a_hold_that_no_caller_has_is_over() {
    let world = World::new();
    let mut engine = deployed(&world);
    // Its caller has gone before it began.
    drop(engine.hold_key(handler(), "k1".to_owned()));
    engine.pass().expect("a pass");
    let held = hold(&mut engine);
    engine.end_hold(&held);
    // The disk is full when it begins, because of another record.
    let mut refused = engine.hold_key(handler(), "k1".to_owned());
    let request = engine.step_replay(ReplayStep::Request { handler: handler(), request: "{}".to_owned() }, audit());
    world.disk.fail(world.disk.operations() + 1, Fault::Full);
    engine.pass().expect("a pass");
    world.disk.fail(0, Fault::Io);
    assert!(matches!(refused.poll(), Some(Err(Refusal::DiskFull))));
    drop(request);
    hold(&mut engine);
}

/// While the rows of a removed handler are deleted its name is taken.
fn deploy_when_free(engine: &mut Engine) {
    for _ in 0..100 {
        let answer = engine.deploy(handler(), MANIFEST.to_owned());
        if answered(engine, answer).is_ok() {
            return;
        }
    }
    panic!("the name is never free");
}
