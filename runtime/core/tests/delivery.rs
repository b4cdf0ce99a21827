//! The rules of delivery, as data: inputs in, expected actions out.

mod world;

use weirgate_core::{DeliveryState, Limits};
use weirgate_types::{AttemptFailure, FailureClass, Outcome, Position, Record};
use world::{World, name, transient};

fn world(extra: &str) -> World {
    let mut world = World::new(Limits::default());
    world.deploy("a", extra);
    world
}

fn permanent() -> AttemptFailure {
    AttemptFailure { class: FailureClass::Permanent, ..transient() }
}

#[test]
fn a_key_is_delivered_in_order_and_others_do_not_wait() {
    let mut world = world("");
    let [first, second, other] = [(1, "x"), (2, "x"), (3, "y")].map(|(id, key)| world.publish(id, key));
    assert_eq!(world.called(), [first.0, other.0]);
    world.answer_at(first, Ok(()));
    assert_eq!(world.called(), [other.0, second.0]);
}

#[test]
fn a_failed_event_is_not_overtaken_by_its_key() {
    let mut world = world(r#","retry":[{"first_delay_ms":100}]"#);
    let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
    world.answer(Err(&transient()));
    assert_eq!(world.called(), [] as [u64; 0]);
    let states: Vec<_> = world.machine.deliveries(&name("a"), Position::ZERO).map(|view| view.state).collect();
    assert!(matches!(states[0], DeliveryState::Retrying { due_ms } if due_ms <= world.now_ms + 100), "{states:?}");
    assert_eq!(states[1], DeliveryState::Blocked(first));
    world.wait(100);
    assert_eq!(world.called(), [first.0]);
    world.answer(Ok(()));
    assert_eq!(world.called(), [second.0]);
}

#[test]
fn attempts_are_recorded_before_they_are_requested() {
    let mut world = world("");
    let position = world.publish(1, "x");
    let attempted = world.log.iter().any(
        |(_, record)| matches!(record, Record::Attempted { delivery, attempt: 1, .. } if delivery.position == position),
    );
    assert!(attempted && world.called() == [position.0]);
}

#[test]
fn used_up_attempts_end_in_a_dead_letter_and_the_key_continues() {
    let mut world = world(r#","retry":[{"attempts":2,"first_delay_ms":10}]"#);
    let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
    for _ in 0..3 {
        assert_eq!(world.called(), [first.0]);
        world.answer(Err(&transient()));
        world.wait(1_000);
    }
    let dead = world.log.iter().filter(|(_, record)| {
        matches!(record, Record::Committed(commit) if matches!(commit.outcome, Outcome::DeadLettered { .. }))
    });
    assert_eq!((dead.count(), world.called()), (1, vec![second.0]));
}

#[test]
fn a_permanent_failure_is_a_dead_letter_at_once() {
    let mut world = world("");
    world.publish(1, "x");
    world.answer(Err(&permanent()));
    let last = world.log.last().map(|(_, record)| record);
    assert!(matches!(last, Some(Record::Committed(commit)) if matches!(commit.outcome, Outcome::DeadLettered { .. })));
}

#[test]
fn the_handlers_retry_hint_is_used() {
    let mut world = world(r#","retry":[{"first_delay_ms":1}]"#);
    world.publish(1, "x");
    world.answer(Err(&AttemptFailure { retry_after_ms: Some(5_000), ..transient() }));
    world.wait(4_999);
    assert_eq!(world.called().len(), 0);
    world.wait(2);
    assert_eq!(world.called().len(), 1);
}

#[test]
fn concurrency_is_bounded() {
    let mut world = world(r#","concurrency":2"#);
    for id in 0..5 {
        world.publish(id, &format!("key-{id}"));
    }
    assert_eq!(world.calls.len(), 2);
    world.answer(Ok(()));
    assert_eq!(world.calls.len(), 2);
}

#[test]
fn a_repeated_result_changes_nothing() {
    let mut world = world("");
    world.publish(1, "x");
    let (delivery, attempt) = world.calls[0].clone();
    world.answer(Ok(()));
    let length = world.log.len();
    world.end(&delivery, attempt, Ok(()));
    assert_eq!(world.log.len(), length);
}

#[test]
fn a_paused_handler_misses_nothing() {
    let mut world = World::new(Limits { active_max: 10, open_max: 100, ..Limits::default() });
    world.deploy("a", "");
    world.pause("a", true);
    let positions: Vec<_> = (0..200).map(|id| world.publish(id, &format!("key-{}", id % 7))).collect();
    assert_eq!(world.calls.len(), 0);
    assert!(world.machine.handler(&name("a")).expect("a").open <= 100, "memory is bounded while it is paused");
    world.pause("a", false);
    let mut done = Vec::new();
    while !world.calls.is_empty() {
        done.push(world.answer(Ok(())).position);
    }
    for key in 0..7 {
        let of_key = |all: &[Position]| {
            all.iter()
                .copied()
                .filter(|p| positions.iter().position(|q| q == p).expect("known") % 7 == key)
                .collect::<Vec<_>>()
        };
        assert_eq!(of_key(&done), of_key(&positions), "key {key} in order, none lost, none twice");
    }
    let view = world.machine.handler(&name("a")).expect("a");
    assert_eq!((view.open, view.checkpoint), (0, world.head()));
}

#[test]
fn the_checkpoint_never_passes_an_open_delivery() {
    let mut world = world("");
    let [first, second, third] = [1, 2, 3].map(|id| world.publish(id, &format!("key-{id}")));
    let checkpoint = |world: &World| world.machine.handler(&name("a")).expect("a").checkpoint;
    assert_eq!(checkpoint(&world), first.before());
    world.answer_at(second, Ok(()));
    world.answer_at(third, Ok(()));
    assert_eq!(checkpoint(&world), first.before());
    world.answer_at(first, Ok(()));
    assert_eq!(checkpoint(&world), world.head());
}

#[test]
fn events_are_matched_by_the_manifest_in_force_at_their_position() {
    let mut world = world("");
    world.pause("a", true);
    let wanted = world.publish(1, "x");
    let manifest = r#"{"name":"a","subscriptions":[{"types":["invoice.*"]}]}"#.to_owned();
    world.stage(Record::Deployed(world::deployed("a", manifest)));
    world.publish(2, "x");
    world.pause("a", false);
    assert_eq!(world.called(), [wanted.0]);
}

#[test]
fn recovery_matches_by_the_manifest_in_force_too() {
    let mut world = world("");
    let manifest = r#"{"name":"a","subscriptions":[{"types":["order.*","pay.*"]}]}"#.to_owned();
    world.stage(Record::Deployed(world::deployed("a", manifest)));
    let paid = world.stage(Record::Accepted { event: world::event(1, "x", "pay.done"), to: None, at_ms: 0 });
    world.settle();
    world.restart(false);
    world.wait(1_000);
    assert_eq!(world.called(), [paid.0]);
}

#[test]
fn a_resubmitted_delivery_and_a_running_one_do_not_run_at_once_after_a_restart() {
    for with_view in [false, true] {
        let mut world = world(r#","retry":[]"#);
        let first = world.publish(1, "x");
        let delivery = world.answer(Err(&transient()));
        world.deploy("a", r#","retry":[{"first_delay_ms":1}]"#);
        world.publish(2, "x");
        world.retry(&delivery, "x");
        world.keep_view();
        world.restart(with_view);
        world.wait(1_000);
        assert_eq!(world.called(), [first.0]);
    }
}

#[test]
fn a_handler_may_begin_with_the_first_event() {
    let mut world = World::new(Limits::default());
    let early: Vec<_> = (0..20).map(|id| world.publish(id, &id.to_string()).0).collect();
    world.deploy("late", "");
    world.deploy("historian", r#","start":"beginning""#);
    let called: Vec<_> =
        world.calls.iter().map(|(delivery, _)| (delivery.handler.to_string(), delivery.position.0)).collect();
    assert_eq!(called, early.into_iter().map(|position| ("historian".to_owned(), position)).collect::<Vec<_>>());
}

#[test]
fn a_dead_letter_opened_again_has_all_its_attempts() {
    let mut world = world(r#","retry":[]"#);
    let position = world.publish(1, "x");
    let delivery = world.answer(Err(&transient()));
    assert_eq!(world.called(), [] as [u64; 0]);
    world.retry(&delivery, "x");
    world.feed(weirgate_core::Input::Tick);
    assert_eq!(world.calls, [(world.history[0].0.clone(), 1)]);
    world.answer(Ok(()));
    assert_eq!(world.machine.handler(&name("a")).expect("a").open, 0, "{position}");
}

#[test]
fn nothing_begins_once_the_runtime_stops() {
    let mut world = world(r#","concurrency":1"#);
    world.publish(1, "x");
    world.publish(2, "y");
    world.feed(weirgate_core::Input::Stopping);
    assert_eq!(world.machine.running(), 1);
    world.answer(Ok(()));
    assert_eq!((world.calls.len(), world.machine.running()), (0, 0));
}

#[test]
fn an_attempt_cut_off_by_a_crash_counts() {
    for with_view in [false, true] {
        let mut world = world(r#","retry":[{"attempts":1,"first_delay_ms":1}]"#);
        world.publish(1, "x");
        for attempt in [1, 2] {
            assert_eq!(world.calls.front().map(|(_, attempt)| *attempt), Some(attempt));
            world.keep_view();
            world.restart(with_view);
            world.wait(10);
        }
        assert_eq!(world.calls.len(), 0, "a component that kills the process is not called for ever");
    }
}
