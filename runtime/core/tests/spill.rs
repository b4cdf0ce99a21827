//! Long waits are on disk only, as data: memory stays small, and spilled deliveries are not lost, forgotten or overtaken.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::Limits;
use weirgate_types::{Carried, DeliveryCommand, Position, Record};
use world::{World, correctable, correction, delivery, not_reached, permanent, transient};

/// Two waiting deliveries in memory, the others on disk.
fn small(extra: &str) -> World {
    let mut world = World::new(Limits { waiting_max: 2, ..Limits::default() });
    world.deploy("a", extra);
    world
}

fn in_memory(world: &World) -> usize {
    let view = world.handler("a");
    view.open - view.spilled
}

fn is_spilled(world: &World, position: Position) -> bool {
    world.rows.get(&delivery("a", position)).expect("a row").spilled
}

/// Deliveries that await correction, each with its own key.
fn waiting(world: &mut World, count: u64) -> Vec<Position> {
    let positions: Vec<_> = (0..count).map(|id| world.publish(id, &format!("key-{id}"))).collect();
    while !world.calls.is_empty() {
        world.answer(Err(&correctable()));
    }
    positions
}

#[test]
fn a_hundred_thousand_poison_keys_take_no_memory_and_block_no_other_key() {
    let mut world = World::new(Limits { waiting_max: 64, ..Limits::default() });
    world.deploy("a", r#","after_dead_letter":"hold","retry":[]"#);
    world.keeps_rows = false;
    for id in 0..100_000 {
        world.publish(id, &format!("poison-{id}"));
        world.answer(Err(&permanent()));
        assert!(in_memory(&world) <= 65, "{} in memory", in_memory(&world));
    }
    assert_eq!(world.handler("a").open, 100_000);
    let fresh = world.publish(100_001, "fresh");
    assert_eq!(world.called(), [fresh.0]);
}

#[test]
fn due_spilled_deliveries_are_reloaded_and_closed() {
    for with_view in [false, true] {
        let mut world = small(r#","retry":[{"attempts":9,"first_delay_ms":1000,"jitter":"none","factor":1}]"#);
        let positions: Vec<_> = (0..40).map(|id| world.publish(id, &format!("key-{id}"))).collect();
        while !world.calls.is_empty() {
            world.answer(Err(&transient()));
        }
        assert!(in_memory(&world) <= 2, "{}", in_memory(&world));
        world.keep_view();
        world.restart(with_view);
        assert!(world.wake_at_ms().is_some_and(|at_ms| at_ms == world.now_ms + 1_000));
        world.wait(999);
        assert_eq!(world.called(), [] as [u64; 0]);
        let mut done = Vec::new();
        for _ in 0..200 {
            world.wait(1);
            while !world.calls.is_empty() {
                done.push(world.answer(Ok(())).position);
            }
        }
        done.sort();
        assert_eq!(done, positions);
        assert!(world.rows.is_empty());
    }
}

#[test]
fn a_long_lane_is_on_disk_and_keeps_its_order() {
    for with_view in [false, true] {
        let mut world = small(r#","retry":[{"attempts":9,"first_delay_ms":1}]"#);
        let positions: Vec<_> = (0..300).map(|id| world.publish(id, "x")).collect();
        assert!(in_memory(&world) <= 64);
        world.keep_view();
        world.restart(with_view);
        world.wait(1);
        let mut done = Vec::new();
        while !world.calls.is_empty() {
            assert_eq!(world.calls.len(), 1);
            done.push(world.answer(Ok(())).position);
        }
        assert_eq!(done, positions);
    }
}

#[test]
fn a_correction_event_reaches_a_spilled_delivery() {
    for with_view in [false, true] {
        let mut world = small(r#","retry":[{"attempts":9,"first_delay_ms":1}]"#);
        let positions = waiting(&mut world, 12);
        let spilled: Vec<_> = positions.iter().copied().filter(|position| is_spilled(&world, *position)).collect();
        assert!(spilled.len() >= 9);
        let key = world.event_at(spilled[5]).key().to_owned();
        world.keep_view();
        // Only the event became durable, nothing that followed from it.
        let fix = world.publish_as(100, &key, "fix.address");
        assert_eq!(world.called(), [spilled[5].0]);
        world.log.retain(|(at, _)| *at <= fix);
        world.restart(with_view);
        assert_eq!(world.called(), [spilled[5].0], "{with_view}");
        world.answer(Ok(()));
        assert_eq!(world.commands().len(), 1);
    }
}

#[test]
fn an_operators_command_reaches_a_spilled_delivery() {
    for with_view in [false, true] {
        let mut world = small(r#","retry":[{"attempts":9,"first_delay_ms":1}]"#);
        let positions = waiting(&mut world, 12);
        for (position, command) in positions.iter().zip([
            DeliveryCommand::Skip,
            DeliveryCommand::DeadLetter,
            correction(),
            DeliveryCommand::Retry,
        ]) {
            let key = world.event_at(*position).key().to_owned();
            world.command(&delivery("a", *position), &key, command, Carried::default());
        }
        assert_eq!(world.called(), [positions[2].0, positions[3].0]);
        world.keep_view();
        world.restart(with_view);
        world.wait(1);
        let mut called = world.called();
        called.sort_unstable();
        assert_eq!(called, [positions[2].0, positions[3].0]);
        assert_eq!(world.handler("a").open, 10);
    }
}

/// A lane with its first part in memory and the rest on disk, with another key behind.
fn divided(world: &mut World) -> Vec<Position> {
    let positions: Vec<_> = (0..70).map(|id| world.publish(id, &format!("key-{}", id % 2))).collect();
    let [first, last] = [0, 69].map(|index| *positions.get(index).expect("a position"));
    assert!(!is_spilled(world, first) && is_spilled(world, last));
    positions
}

#[test]
fn a_stored_correction_applies_to_its_own_key_only() {
    let mut world = small(r#","ordering":"handler""#);
    let positions = divided(&mut world);
    world.publish_as(200, "key-0", "fix.address");
    for (row, key) in
        positions.iter().map(|position| (&world.rows[&delivery("a", *position)], world.event_at(*position).key()))
    {
        assert!(row.offered.is_none() || key == "key-0", "{key} was offered what is for another");
    }
}

#[test]
fn a_lane_that_goes_to_disk_while_it_is_reloaded_keeps_its_order() {
    let mut world = small(r#","retry":[{"attempts":9,"first_delay_ms":60000,"jitter":"none"}]"#);
    let positions: Vec<_> = (0..70).map(|id| world.publish(id, "x")).collect();
    // The correction requests the part on disk; the first one fails, so the part in memory is spilled in the same moment.
    world.begin_pass();
    world.answer(Err(&transient()));
    world.publish_as(200, "x", "fix.address");
    world.end_pass();
    assert_eq!(world.called(), [] as [u64; 0], "nothing overtakes the first");
    world.wait(60_000);
    let mut done = Vec::new();
    while !world.calls.is_empty() {
        done.push(world.answer(Ok(())).position);
    }
    assert_eq!(done, positions);
}

#[test]
fn a_dead_letter_opened_again_joins_its_lane_on_disk() {
    let mut world = small("");
    waiting(&mut world, 12);
    let first = world.publish(100, "x");
    world.answer(Err(&permanent()));
    let second = world.publish(101, "x");
    world.answer(Err(&correctable()));
    assert!(is_spilled(&world, second));
    world.retry(&delivery("a", first), "x");
    assert_eq!(world.called(), [first.0]);
    world.answer(Ok(()));
    assert_eq!(world.called(), [] as [u64; 0], "the second waits still");
    world.command(&delivery("a", second), "x", correction(), Carried::default());
    assert_eq!(world.called(), [second.0]);
}

#[test]
fn a_due_delivery_behind_a_waiting_one_causes_no_wake_up() {
    let mut world = World::new(Limits { waiting_max: 0, ..Limits::default() });
    world.deploy("a", r#","batch":{"events_max":2}"#);
    world.pause("a", true);
    let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
    world.pause("a", false);
    world.answer_batch(|position| Err(if position == first { correctable() } else { not_reached() }));
    assert!(is_spilled(&world, first) && is_spilled(&world, second));
    let reloads = world.reloads;
    assert_eq!(world.wake_at_ms(), None);
    (0..10).for_each(|_| world.wait(1_000));
    assert_eq!(world.reloads, reloads);
    world.command(&delivery("a", first), "x", DeliveryCommand::Skip, Carried::default());
    world.wait(1);
    assert_eq!(world.called(), [second.0]);
}

#[test]
fn a_correction_found_by_a_restart_is_not_spilled() {
    let mut world = World::new(Limits { waiting_max: 0, ..Limits::default() });
    world.deploy("a", "");
    let first = world.publish(1, "x");
    world.answer(Err(&correctable()));
    assert!(is_spilled(&world, first));
    world.begin_pass();
    let fix = world.publish_as(2, "x", "fix.address");
    world.keep_view();
    world.end_pass();
    world.log.retain(|(at, _)| *at <= fix);
    // Two durable moments come before recovery is complete: one that reloads, one that spills.
    world.stage(Record::Paced { slow: false, reason: String::new(), at_ms: 0, notice: world::notice() });
    world.restart(true);
    assert_eq!(world.called(), [first.0]);
}
