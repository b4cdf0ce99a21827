//! The other orders, as data: one lane, unordered, and unordered with ordered emissions. Restarts come in between.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::Limits;
use weirgate_types::{Carried, DeliveryCommand, Outcome, Record};
use world::{World, correctable, delivery, permanent, transient};

const HANDLER: &str = r#","ordering":"handler","retry":[{"attempts":5,"first_delay_ms":1}]"#;
const NONE: &str = r#","ordering":"none","retry":[{"attempts":5,"first_delay_ms":1}]"#;
const INPUT: &str = r#","ordering":"none","emit_order":"input","retry":[{"attempts":5,"first_delay_ms":1}]"#;

fn restart(world: &mut World, with_view: bool) {
    world.keep_view();
    world.restart(with_view);
}

#[test]
fn a_single_lane_blocks_all_keys_behind_an_open_delivery() {
    for with_view in [false, true] {
        let mut world = World::with(HANDLER);
        let positions: Vec<_> = (0..4).map(|id| world.publish(id, &format!("key-{id}"))).collect();
        world.answer(Err(&correctable()));
        restart(&mut world, with_view);
        world.wait(86_400_000);
        assert_eq!(world.called(), [] as [u64; 0]);
        // A correction of another key changes nothing, also for the deliveries behind.
        world.publish_as(9, "key-2", "fix.address");
        assert_eq!(world.called(), [] as [u64; 0]);
        world.publish_as(10, "key-0", "fix.address");
        for position in positions {
            assert_eq!(world.called(), [position.0]);
            world.answer(Ok(()));
        }
    }
}

#[test]
fn unordered_deliveries_do_not_wait_for_each_other() {
    for with_view in [false, true] {
        let mut world = World::with(NONE);
        let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
        assert_eq!(world.called(), [first.0, second.0]);
        world.answer_at(first, Err(&permanent()));
        world.answer_at(second, Err(&transient()));
        let third = world.publish(3, "x");
        restart(&mut world, with_view);
        world.wait(1);
        let mut called = world.called();
        called.sort_unstable();
        assert_eq!(called, [second.0, third.0]);
    }
}

#[test]
fn overtaking_deliveries_emit_in_event_order_across_restarts() {
    for with_view in [false, true] {
        let mut world = World::with(INPUT);
        world.emits = true;
        let [first, second, third, other] =
            [(1, "x"), (2, "x"), (3, "x"), (4, "y")].map(|(id, key)| world.publish(id, key));
        world.answer_at(third, Ok(()));
        world.answer_at(second, Ok(()));
        world.answer_at(other, Ok(()));
        assert_eq!(world.emitted(), [other.0]);
        assert_eq!(world.states(), [(first.0, "running"), (second.0, "blocked"), (third.0, "blocked")]);
        restart(&mut world, with_view);
        world.wait(1);
        assert_eq!(world.called(), [first.0], "what is done is not done again");
        world.answer(Ok(()));
        assert_eq!(world.emitted(), [other, first, second, third].map(|position| position.0));
        assert_eq!(world.handler("a").open, 0);
        restart(&mut world, with_view);
        assert_eq!(world.emitted().len(), 4, "once");
    }
}

#[test]
fn a_dead_letter_releases_withheld_emissions_behind_it() {
    for with_view in [false, true] {
        let mut world = World::with(INPUT);
        world.emits = true;
        let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
        world.answer_at(second, Ok(()));
        world.answer_at(first, Err(&permanent()));
        assert_eq!(world.emitted(), [second.0]);
        world.command(&delivery("a", first), "x", DeliveryCommand::Retry, Carried::default());
        restart(&mut world, with_view);
        world.wait(1);
        world.answer(Ok(()));
        assert_eq!(world.emitted(), [second.0, first.0]);
    }
}

#[test]
fn emissions_are_released_once_when_a_restart_ends_several_attempts() {
    let mut world = World::with(r#","ordering":"none","emit_order":"input","retry":[]"#);
    world.emits = true;
    let [_, second, _] = [1, 2, 3].map(|id| world.publish(id, "x"));
    world.answer_at(second, Ok(()));
    // The first and the third are interrupted and become dead letters.
    world.restart(false);
    assert_eq!(world.emitted(), [second.0]);
    let released = world.log.iter().filter(|(_, record)| matches!(record, Record::Released { .. }));
    assert_eq!(released.count(), 1);
}

#[test]
fn emissions_not_released_before_a_crash_are_released_after_it() {
    let mut world = World::with(INPUT);
    world.emits = true;
    let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
    world.answer_at(second, Ok(()));
    world.answer_at(first, Ok(()));
    let completed = |record: &Record| record.commits().iter().any(|commit| commit.outcome == Outcome::Completed);
    let through = world.log.iter().find(|(_, record)| completed(record)).expect("a commit").0;
    world.log.retain(|(position, _)| *position <= through);
    world.restart(false);
    assert_eq!(world.emitted(), [first.0, second.0]);
}

#[test]
fn a_deployment_with_another_ordering_keeps_waiting_deliveries() {
    for with_view in [false, true] {
        let mut world = World::with("");
        let first = world.publish(1, "x");
        world.answer(Err(&correctable()));
        world.deploy("a", HANDLER);
        let second = world.publish(2, "y");
        assert_eq!(world.called(), [second.0]);
        restart(&mut world, with_view);
        world.publish_as(3, "x", "fix.address");
        assert!(world.called().contains(&first.0), "the correction finds it where it was");
    }
}

#[test]
fn a_blocked_single_lane_uses_little_memory() {
    let mut world = World::new(Limits { waiting_max: 100, ..Limits::default() });
    world.deploy("a", HANDLER);
    for id in 0..2_000 {
        world.publish(id, &format!("key-{id}"));
    }
    let view = world.handler("a");
    assert!(view.open - view.spilled <= 100, "{} in memory", view.open - view.spilled);
    let mut last = 0;
    while !world.calls.is_empty() {
        let done = world.answer(Ok(())).position.0;
        assert!(last < done);
        last = done;
    }
    assert_eq!((world.history.len(), world.handler("a").open), (2_000, 0));
}
