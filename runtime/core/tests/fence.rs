//! A deployment is a fence: attempts that run when it is staged are discarded, unspent, and run again under the new version.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::{DeliveryPhase, Input};
use weirgate_types::{HostCall, Outcome, Position, Record};
use world::{World, delivery, name, transient};

const RETRY: &str = r#","concurrency":2,"retry":[{"attempts":2,"first_delay_ms":10,"jitter":"none"}]"#;

/// The versions and numbers of a delivery's recorded attempts.
fn attempts(world: &World, position: Position) -> Vec<(Position, u32)> {
    let attempts = world.log.iter().filter_map(|(_, record)| match record {
        Record::Attempted { delivery, attempt, version, .. } if delivery.position == position => {
            Some((*version, *attempt))
        }
        _ => None,
    });
    attempts.collect()
}

fn versions(world: &World) -> Vec<Position> {
    let deployed = world.log.iter().filter(|(_, record)| matches!(record, Record::Deployed(_)));
    deployed.map(|(position, _)| *position).collect()
}

fn completed(world: &World) -> usize {
    world.log.iter().flat_map(|(_, record)| record.commits()).filter(|one| one.outcome == Outcome::Completed).count()
}

#[test]
fn a_running_attempt_is_discarded_unspent_and_runs_again() {
    let mut world = World::with(RETRY);
    let position = world.publish(1, "x");
    world.answer(Err(&transient()));
    world.wait(10);
    let id = delivery("a", position);
    assert_eq!(world.machine.row(&id).map(|row| (row.attempt, row.spent)), Some((2, 1)));
    world.deploy("a", RETRY);
    let row = world.machine.row(&id).expect("open").clone();
    assert_eq!((row.phase, row.attempt, row.spent), (DeliveryPhase::Ready, 2, 1));
    assert_eq!(world.rows.get(&id), Some(&row), "the view knows it as well");
    assert_eq!(attempts(&world, position).len(), 2, "its call is still in flight");
    world.answer(Ok(()));
    assert_eq!(completed(&world), 0, "the result of the discarded attempt is ignored");
    assert_eq!(attempts(&world, position).last(), Some(&(versions(&world)[1], 3)));
    world.answer(Ok(()));
    assert_eq!((completed(&world), world.handler("a").open), (1, 0));
}

#[test]
fn calls_of_all_versions_keep_to_the_concurrency_and_to_the_lanes() {
    let mut world = World::with(RETRY);
    let [first, second, behind, other] =
        [(1, "x"), (2, "y"), (3, "x"), (4, "z")].map(|(id, key)| world.publish(id, key));
    world.deploy("a", RETRY);
    world.deploy("a", RETRY);
    assert_eq!(world.called(), [first.0, second.0], "two calls of the first version still compute");
    world.answer_at(second, Ok(()));
    assert_eq!(world.called(), [first.0, second.0], "one slot is free, for the earliest that may begin");
    world.answer_at(second, Ok(()));
    assert_eq!((world.called(), completed(&world)), (vec![first.0, other.0], 1));
    // The delivery is closed while its discarded call runs: the next of the key waits for that call all the same.
    world.command(
        &delivery("a", first),
        "x",
        weirgate_types::DeliveryCommand::Skip,
        weirgate_types::Carried::default(),
    );
    world.answer_at(other, Ok(()));
    assert_eq!(world.called(), [first.0]);
    world.answer(Ok(()));
    assert_eq!(world.called(), [behind.0]);
    world.answer(Ok(()));
    assert_eq!((completed(&world), world.handler("a").open), (3, 0));
}

#[test]
fn deliveries_without_order_wait_for_their_own_discarded_call_only() {
    for order in [r#","ordering":"none""#, r#","ordering":"none","emit_order":"input""#] {
        let mut world = World::with(order);
        let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
        world.deploy("a", order);
        let third = world.publish(3, "x");
        assert_eq!(world.called(), [first.0, second.0, third.0]);
        world.answer_at(first, Ok(()));
        assert_eq!(attempts(&world, first).len(), 2, "{order}");
        assert_eq!(attempts(&world, second).len(), 1, "{order}");
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
        assert_eq!((completed(&world) >= 1, world.handler("a").open), (true, 0), "{order}");
    }
}

#[test]
fn a_restart_knows_of_no_call_and_of_no_spent_attempt() {
    for (with_view, keep_before) in [(false, false), (true, true), (true, false)] {
        let mut world = World::with(r#","retry":[]"#);
        let position = world.publish(1, "x");
        if keep_before {
            world.keep_view();
        }
        world.deploy("a", r#","retry":[]"#);
        if !keep_before {
            world.keep_view();
        }
        world.restart(with_view);
        assert_eq!(world.called(), [position.0], "no attempt was cut off, so it is no dead letter");
        assert_eq!(attempts(&world, position).last().map(|(_, attempt)| *attempt), Some(2));
    }
}

#[test]
fn an_attempt_of_the_new_version_that_a_crash_cuts_off_counts() {
    let mut world = World::with(r#","retry":[]"#);
    world.publish(1, "x");
    world.deploy("a", r#","retry":[]"#);
    world.answer(Ok(()));
    assert_eq!(world.calls.len(), 1);
    world.restart(false);
    let dead = world.log.iter().flat_map(|(_, record)| record.commits()).next();
    assert!(dead.is_some_and(|commit| matches!(commit.outcome, Outcome::DeadLettered { .. })), "{dead:?}");
}

#[test]
fn a_batch_is_discarded_as_a_whole_and_may_be_one_again() {
    let batch = r#","batch":{"events_max":4},"concurrency":1"#;
    let mut world = World::with(batch);
    world.pause("a", true);
    let positions = [1, 2, 3].map(|id| world.publish(id, "x"));
    world.pause("a", false);
    world.deploy("a", batch);
    assert_eq!(world.answer_batch(|_| Ok(())), positions);
    assert_eq!(completed(&world), 0);
    assert_eq!(world.batch_of_first(), positions, "it runs as a batch again");
    world.answer_batch(|_| Ok(()));
    assert_eq!((completed(&world), world.handler("a").open), (3, 0));
}

#[test]
fn a_lagging_handler_discards_what_it_has_not_scanned_again() {
    let mut world = World::with(r#","retry":[]"#);
    world.keep_view();
    let position = world.publish(1, "x");
    world.deploy("a", r#","retry":[]"#);
    world.restart(true);
    assert_eq!(world.called(), [position.0]);
    assert_eq!(world.machine.row(&delivery("a", position)).map(|row| (row.attempt, row.spent)), Some((2, 0)));
}

#[test]
fn late_calls_to_hosts_count_for_what_the_new_version_may_call() {
    let mut world = World::with(r#","capabilities":{"hosts":["https://api.example.com"]}"#);
    world.publish(1, "x");
    world.deploy("a", "");
    let calls = [HostCall { host: "api.example.com".to_owned(), is_success: false }];
    for _ in 0..20 {
        world.feed(Input::Called { handler: &name("a"), calls: &calls });
    }
    assert_eq!(world.machine.hosts().count(), 0);
}
