//! Recovery from failures, as data: retry stages, held keys, corrected data. Restarts come in between, with and without the
//! views.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::DeliveryPhase;
use weirgate_types::{AttemptFailure, Carried, Commit, DeliveryCommand, FailureKind, Outcome, Position, Record};
use world::{World, correctable, correction, delivery, event, name, permanent, transient};

/// A first stage of two quick attempts, a second of one slow one.
const STAGES: &str = r#","retry":[{"attempts":2,"first_delay_ms":10,"jitter":"none","factor":1},{"attempts":1,"first_delay_ms":5000,"jitter":"none"}]"#;
const HOLD: &str = r#","after_dead_letter":"hold","retry":[{"attempts":5,"first_delay_ms":1}]"#;

/// Keep the views or not, and restart.
fn restart(world: &mut World, with_view: bool) {
    world.keep_view();
    world.restart(with_view);
}

fn outcomes(world: &World) -> Vec<&Outcome> {
    world.log.iter().flat_map(|(_, record)| record.commits()).map(|commit| &commit.outcome).collect()
}

#[test]
fn one_stage_follows_the_other_also_across_restarts() {
    for with_view in [false, true] {
        let mut world = World::with(STAGES);
        let position = world.publish(1, "x");
        let mut stages = Vec::new();
        for delay_ms in [10, 10, 5_000] {
            world.answer(Err(&transient()));
            restart(&mut world, with_view);
            let Some(DeliveryStandAt { due_ms, stage }) = stand_at(&world, position) else {
                panic!("it is tried again")
            };
            stages.push(stage);
            assert_eq!(due_ms, world.now_ms + delay_ms);
            world.wait(delay_ms - 1);
            assert_eq!(world.called(), [] as [u64; 0], "not before its time");
            world.wait(1);
            assert_eq!(world.called(), [position.0]);
        }
        assert_eq!(stages, [0, 0, 1]);
        world.answer(Err(&transient()));
        assert!(matches!(outcomes(&world).last(), Some(Outcome::DeadLettered { held: false, .. })));
    }
}

struct DeliveryStandAt {
    due_ms: u64,
    stage: u8,
}

fn stand_at(world: &World, position: Position) -> Option<DeliveryStandAt> {
    match world.machine.row(&delivery("a", position))?.phase {
        DeliveryPhase::Retrying { due_ms, stage } => Some(DeliveryStandAt { due_ms, stage }),
        _ => None,
    }
}

#[test]
fn an_open_circuit_costs_no_attempt() {
    let mut world = World::with(r#","retry":[{"attempts":1,"first_delay_ms":10,"jitter":"none"}]"#);
    let position = world.publish(1, "x");
    let circuit = AttemptFailure {
        retry_after_ms: Some(700),
        ..AttemptFailure::found(FailureKind::CircuitOpen, "the host's breaker is open")
    };
    for _ in 0..20 {
        world.answer(Err(&circuit));
        world.wait(699);
        assert_eq!(world.called(), [] as [u64; 0]);
        world.wait(700);
        assert_eq!(world.called(), [position.0]);
    }
    world.answer(Err(&transient()));
    assert!(stand_at(&world, position).is_some(), "it has its attempts still");
}

#[test]
fn a_held_key_waits_for_an_operators_command() {
    for (with_view, command) in
        [(false, DeliveryCommand::Skip), (true, DeliveryCommand::Discard), (true, DeliveryCommand::Resolve)]
    {
        let mut world = World::with(HOLD);
        let [first, second, other, third] =
            [(1, "x"), (2, "x"), (3, "y"), (4, "x")].map(|(id, key)| world.publish(id, key));
        world.answer_at(first, Err(&permanent()));
        world.answer_at(other, Ok(()));
        restart(&mut world, with_view);
        world.wait(86_400_000);
        assert_eq!(world.called(), [] as [u64; 0], "a held key never runs");
        assert_eq!(world.states(), [(first.0, "held"), (second.0, "blocked"), (third.0, "blocked")]);
        world.command(&delivery("a", first), "x", command, Carried::default());
        restart(&mut world, with_view);
        world.wait(1_000);
        for position in [second, third] {
            assert_eq!(world.called(), [position.0], "in order");
            world.answer(Ok(()));
        }
    }
}

#[test]
fn a_held_dead_letter_that_is_retried_runs_before_its_key() {
    for with_view in [false, true] {
        let mut world = World::with(HOLD);
        let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
        world.answer(Err(&permanent()));
        restart(&mut world, with_view);
        world.retry(&delivery("a", first), "x");
        assert_eq!(world.called(), [first.0]);
        world.answer(Ok(()));
        assert_eq!(world.called(), [second.0]);
        let recovered = world.log.iter().flat_map(|(_, record)| record.commits()).next_back().expect("a commit");
        assert_eq!(recovered.event, first);
    }
}

#[test]
fn a_correctable_failure_awaits_correction_and_blocks_its_key() {
    for with_view in [false, true] {
        let mut world = World::with(r#","retry":[{"attempts":3,"first_delay_ms":1}]"#);
        let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
        world.answer(Err(&correctable()));
        restart(&mut world, with_view);
        world.wait(86_400_000);
        assert_eq!(world.states(), [(first.0, "awaiting-correction"), (second.0, "blocked")]);
        assert_eq!(world.called(), [] as [u64; 0], "it never runs uncorrected");
        world.command(&delivery("a", first), "x", correction(), Carried::default());
        let is_correction = |record: &Record| matches!(record, Record::DeliveryDecided(_));
        let corrected = world.log.iter().find(|(_, record)| is_correction(record)).expect("one").0;
        restart(&mut world, with_view);
        world.wait(1);
        let row = world.machine.row(&delivery("a", first)).expect("open");
        assert_eq!((row.carried.correction, world.called()), (Some(corrected), vec![first.0]));
        world.answer(Ok(()));
        assert_eq!(world.called(), [second.0]);
    }
}

#[test]
fn a_correction_event_reruns_the_awaiting_delivery() {
    let mut world = World::with("");
    let [first, second] = [(1, "x"), (2, "y")].map(|(id, key)| world.publish(id, key));
    world.answer(Err(&correctable()));
    world.answer(Err(&correctable()));
    world.publish_as(3, "x", "fix.address");
    assert_eq!(world.called(), [first.0], "that of its key");
    assert_eq!(world.commands(), [(first.0, "correct", "event")]);
    assert_eq!(world.states(), [(first.0, "running"), (second.0, "awaiting-correction")]);
    let attempts: Vec<_> = world.calls.iter().map(|(_, attempt)| *attempt).collect();
    assert_eq!(attempts, [1], "with its attempts counted from zero");
}

#[test]
fn a_correction_event_that_comes_early_is_used_when_it_is_needed() {
    for with_view in [false, true] {
        for retried in [false, true] {
            let mut world = World::with(r#","retry":[{"attempts":3,"first_delay_ms":10}]"#);
            let first = world.publish(1, "x");
            if retried {
                world.answer(Err(&transient()));
            }
            world.publish_as(2, "x", "fix.address");
            assert!(world.commands().is_empty(), "nothing waits for it yet");
            restart(&mut world, with_view);
            world.wait(10);
            world.answer(Err(&correctable()));
            assert_eq!(world.commands(), [(first.0, "correct", "event")], "{with_view} {retried}");
            assert_eq!(world.called(), [first.0]);
            world.answer(Err(&correctable()));
            assert_eq!(world.states(), [(first.0, "awaiting-correction")], "it has run with that one");
        }
    }
}

#[test]
fn a_crash_after_a_correction_event_loses_no_correction() {
    for with_view in [false, true] {
        let mut world = World::with("");
        let first = world.publish(1, "x");
        world.answer(Err(&correctable()));
        world.keep_view();
        let fix = world.publish_as(2, "x", "fix.address");
        world.keep_view();
        // Only the event itself became durable.
        world.log.retain(|(position, _)| *position <= fix);
        world.restart(with_view);
        assert_eq!(world.commands(), [(first.0, "correct", "event")], "{with_view}");
        assert_eq!(world.called(), [first.0]);
    }
}

#[test]
fn simultaneous_corrections_rerun_a_delivery_once() {
    let mut world = World::with("");
    let first = world.publish(1, "x");
    world.answer(Err(&correctable()));
    let events = vec![event(2, "x", "fix.address"), event(3, "x", "fix.address")];
    let other = world.publish(4, "other");
    world.answer_at(other, Err(&permanent()));
    world.resolve(&delivery("a", other), "other", events);
    assert_eq!(world.called(), [first.0]);
    assert_eq!(world.commands().len(), 2, "the resolution, and one correction");
}

#[test]
fn a_handler_that_lags_takes_the_newest_of_several_corrections() {
    let mut world = World::with("");
    let first = world.publish(1, "x");
    world.answer(Err(&correctable()));
    world.set_mode("a", weirgate_types::Mode::Draining);
    world.publish_as(2, "x", "fix.address");
    let newest = world.publish_as(3, "x", "fix.address");
    assert_eq!(world.called(), [] as [u64; 0]);
    world.set_mode("a", weirgate_types::Mode::Running);
    assert_eq!(world.called(), [first.0]);
    let with = world.log.iter().find_map(|(_, record)| match record {
        Record::DeliveryDecided(one) => match &one.command {
            DeliveryCommand::Correct(correction) => correction.event,
            _ => None,
        },
        _ => None,
    });
    assert_eq!(with, Some(newest));
}

#[test]
fn the_handlers_hook_corrects_once() {
    for with_view in [false, true] {
        let mut world = World::with(r#","retry":[{"attempts":5,"first_delay_ms":1,"jitter":"none"}]"#);
        let first = world.publish(1, "x");
        world.answer_corrected();
        restart(&mut world, with_view);
        world.wait(1);
        assert_eq!(world.commands(), [(first.0, "correct", "on-correctable")]);
        assert_eq!(world.called(), [first.0]);
        world.answer_corrected();
        assert_eq!(world.states(), [(first.0, "awaiting-correction")], "once");
        assert_eq!(world.called(), [] as [u64; 0]);
    }
}

#[test]
fn a_correction_event_takes_precedence_over_the_hook() {
    let mut world = World::with("");
    let first = world.publish(1, "x");
    world.publish_as(2, "x", "fix.address");
    world.answer_corrected();
    assert_eq!(world.commands(), [(first.0, "correct", "event")]);
    assert_eq!(world.called(), [first.0], "one attempt");
}

#[test]
fn a_correction_does_not_apply_to_later_deliveries() {
    let mut world = World::with("");
    world.publish_as(1, "x", "fix.address");
    let first = world.publish(2, "x");
    world.answer(Err(&correctable()));
    assert_eq!(world.states(), [(first.0, "awaiting-correction")]);
}

#[test]
fn a_correction_that_was_used_is_not_used_again_where_its_handler_lags_after_a_restart() {
    let mut world = World::with(r#","retry":[{"attempts":9,"first_delay_ms":1}]"#);
    let first = world.publish(1, "x");
    world.answer(Err(&correctable()));
    world.publish_as(2, "x", "fix.address");
    world.answer(Err(&correctable()));
    assert_eq!(world.states(), [(first.0, "awaiting-correction")]);
    // With less room the handler scans events later than before.
    let limits = world.limits;
    world.limits.active_max = 0;
    world.restart(false);
    world.limits = limits;
    world.keep_view();
    world.restart(true);
    assert_eq!(world.states(), [(first.0, "awaiting-correction")]);
    assert_eq!(world.commands().len(), 1);
}

#[test]
fn a_reopened_dead_letter_keeps_its_recorded_answers() {
    for with_view in [false, true] {
        let mut world = World::with(r#","retry":[{"attempts":1,"first_delay_ms":1}]"#);
        let first = world.publish(1, "x");
        world.answer(Err(&permanent()));
        let carried =
            Carried { step: Some(Position(77)), steps: 1, correction: Some(Position(78)), failure: Some(Position(79)) };
        world.command(&delivery("a", first), "x", DeliveryCommand::Retry, carried.clone());
        restart(&mut world, with_view);
        // The restart interrupted an attempt: one more failure, which names the one before.
        let row = world.machine.row(&delivery("a", first)).expect("open");
        let newest = row.carried.failure.expect("it failed");
        assert_eq!(Carried { failure: carried.failure, ..row.carried.clone() }, carried);
        let (_, record) = world.log.iter().find(|(at, _)| *at == newest).expect("its record");
        let [Commit { outcome: Outcome::Retry { previous, .. }, .. }] = record.commits() else { panic!("{record:?}") };
        assert_eq!(*previous, carried.failure);
    }
}

#[test]
fn events_for_one_handler_reach_it_alone() {
    for with_view in [false, true] {
        let mut world = World::with("");
        world.deploy("b", "");
        let to = Some(name("b"));
        let at = world.stage(Record::Accepted { event: event(1, "x", "whatever.it.is"), to, at_ms: 0 });
        world.settle();
        let called: Vec<_> = world.calls.iter().map(|(delivery, _)| delivery.clone()).collect();
        assert_eq!(called, [delivery("b", at)], "whatever it subscribes to");
        restart(&mut world, with_view);
        assert!(world.machine.is_open(&delivery("b", at)) && !world.machine.is_open(&delivery("a", at)));
    }
}

#[test]
fn commands_close_waiting_deliveries() {
    for (command, is_open) in
        [(DeliveryCommand::Skip, false), (DeliveryCommand::DeadLetter, false), (DeliveryCommand::Retry, true)]
    {
        let mut world = World::with("");
        let first = world.publish(1, "x");
        world.answer(Err(&correctable()));
        world.command(&delivery("a", first), "x", command, Carried::default());
        assert_eq!(world.machine.is_open(&delivery("a", first)), is_open);
    }
}
