//! Several deliveries in one call, as data: what shares a call, and what becomes of it when a part fails.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_types::{Carried, Position, Record};
use world::{World, correctable, correction, delivery, not_reached, permanent, transient};

const BATCH: &str =
    r#","batch":{"events_max":4},"concurrency":1,"retry":[{"attempts":1,"first_delay_ms":10,"jitter":"none"}]"#;

/// A world with a backlog: while the handler was paused these came, by key.
fn backlog(keys: &[&str]) -> (World, Vec<Position>) {
    let mut world = World::with(BATCH);
    world.pause("a", true);
    let positions = keys.iter().zip(0..).map(|(key, id)| world.publish(id, key)).collect();
    world.pause("a", false);
    (world, positions)
}

fn is_batched(world: &World) -> bool {
    matches!(world.log.iter().rfind(|(_, record)| !record.commits().is_empty()), Some((_, Record::Batched(_))))
}

#[test]
fn what_waits_goes_in_one_call_and_ends_in_one_record() {
    let (mut world, positions) = backlog(&["x", "y", "x", "z", "x"]);
    let of_call = world.batches.last().expect("a call").clone();
    assert_eq!(of_call.len(), 4);
    let called = world.answer_batch(|_| Ok(()));
    // Those of a key one after the other.
    assert_eq!(called, [positions[0], positions[2], positions[4], positions[1]]);
    assert!(is_batched(&world));
    assert_eq!(world.answer_batch(|_| Ok(())), [positions[3]]);
    assert_eq!(world.handler("a").open, 0);
}

#[test]
fn what_comes_after_a_failure_of_its_key_was_not_reached_and_keeps_its_attempts() {
    for with_view in [false, true] {
        let (mut world, positions) = backlog(&["x", "x", "y"]);
        let failing = positions[0];
        let behind = positions[1];
        world.answer_batch(|position| match position {
            _ if position == failing => Err(transient()),
            _ if position == behind => Err(not_reached()),
            _ => Ok(()),
        });
        let rows = [failing, behind].map(|position| world.machine.row(&delivery("a", position)).expect("open").spent);
        assert_eq!(rows, [1, 0]);
        assert_eq!(world.states()[1].1, "parked-behind");
        world.keep_view();
        world.restart(with_view);
        assert_eq!(world.called(), [] as [u64; 0]);
        world.wait(10);
        // What was tried before goes alone.
        assert_eq!(world.answer_batch(|_| Ok(())), [failing]);
        assert_eq!(world.answer_batch(|_| Err(transient())), [behind]);
        world.wait(10);
        assert_eq!(world.answer_batch(|_| Ok(())), [behind], "it had its second attempt still");
    }
}

#[test]
fn what_is_behind_a_dead_letter_of_the_same_batch_goes_on() {
    let (mut world, positions) = backlog(&["x", "x"]);
    world.answer_batch(|position| if position == positions[0] { Err(permanent()) } else { Err(not_reached()) });
    assert_eq!(world.called(), [positions[1].0]);
    world.answer(Ok(()));
    assert_eq!(world.handler("a").open, 0);
}

#[test]
fn what_was_corrected_or_opened_again_goes_alone() {
    for failure in [permanent(), correctable()] {
        let (mut world, positions) = backlog(&["x", "x", "y"]);
        world.answer_batch(|position| match position {
            _ if position == positions[0] => Err(failure.clone()),
            _ => Err(not_reached()),
        });
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
        world.pause("a", true);
        world.publish(8, "x");
        world.publish(9, "z");
        world.intervene(&delivery("a", positions[0]), "x", correction(), Carried::default());
        world.pause("a", false);
        world.wait(10);
        let of_first = world.batches.iter().rfind(|batch| batch.contains(&delivery("a", positions[0])));
        assert_eq!(of_first.expect("its call").len(), 1);
    }
}

#[test]
fn a_batch_that_a_crash_cuts_off_is_tried_one_by_one() {
    for with_view in [false, true] {
        let (mut world, positions) = backlog(&["x", "x", "y"]);
        world.keep_view();
        world.restart(with_view);
        world.wait(10);
        let mut done = Vec::new();
        while !world.calls.is_empty() {
            let of_call = world.answer_batch(|_| Ok(()));
            assert_eq!(of_call.len(), 1, "it may be what breaks the batch");
            done.extend(of_call);
            world.wait(10);
        }
        done.sort();
        assert_eq!(done, positions);
    }
}
