//! Several deliveries in one call, as data: which share a call, and their outcomes when a part fails.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_types::{Carried, KEY_REPAIRED, Position, Record};
use world::{World, correctable, correction, delivery, event, name, not_reached, permanent, transient};

const BATCH: &str =
    r#","batch":{"events_max":4},"concurrency":1,"retry":[{"attempts":1,"first_delay_ms":10,"jitter":"none"}]"#;

/// A world with a backlog: events that came while the handler was paused, by key.
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
fn waiting_deliveries_share_a_call_and_a_record() {
    let (mut world, positions) = backlog(&["x", "y", "x", "z", "x"]);
    let of_call = world.batches.last().expect("a call").clone();
    assert_eq!(of_call.len(), 4);
    let called = world.answer_batch(|_| Ok(()));
    // Deliveries of a key run in order.
    assert_eq!(called, [positions[0], positions[2], positions[4], positions[1]]);
    assert!(is_batched(&world));
    assert_eq!(world.answer_batch(|_| Ok(())), [positions[3]]);
    assert_eq!(world.handler("a").open, 0);
}

#[test]
fn deliveries_behind_a_failure_of_their_key_keep_their_attempts() {
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
        assert_eq!(world.states()[1].1, "blocked");
        world.keep_view();
        world.restart(with_view);
        assert_eq!(world.called(), [] as [u64; 0]);
        world.wait(10);
        // A delivery that was tried before runs alone.
        assert_eq!(world.answer_batch(|_| Ok(())), [failing]);
        assert_eq!(world.answer_batch(|_| Err(transient())), [behind]);
        world.wait(10);
        assert_eq!(world.answer_batch(|_| Ok(())), [behind], "it had its second attempt still");
    }
}

#[test]
fn deliveries_behind_a_dead_letter_of_the_same_batch_continue() {
    let (mut world, positions) = backlog(&["x", "x"]);
    world.answer_batch(|position| if position == positions[0] { Err(permanent()) } else { Err(not_reached()) });
    assert_eq!(world.called(), [positions[1].0]);
    world.answer(Ok(()));
    assert_eq!(world.handler("a").open, 0);
}

#[test]
fn corrected_and_reopened_deliveries_run_alone() {
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
        world.command(&delivery("a", positions[0]), "x", correction(), Carried::default());
        world.pause("a", false);
        world.wait(10);
        while !world.calls.is_empty() {
            world.answer_batch(|_| Ok(()));
        }
        let of_first = world.batches.iter().rfind(|batch| batch.contains(&delivery("a", positions[0])));
        assert_eq!(of_first.expect("its call").len(), 1);
    }
}

/// It calls another export, also after a restart, and whatever is ready beside it.
#[test]
fn the_event_of_a_repair_runs_alone() {
    for ordering in ["", r#","ordering":"handler""#, r#","ordering":"none""#] {
        for restarts in [None, Some(false), Some(true)] {
            let mut world = World::with(&format!("{BATCH}{ordering}"));
            world.pause("a", true);
            let first = world.publish(1, "x");
            let (event, to) = (event(2, "x", KEY_REPAIRED), Some(name("a")));
            let repaired = world.stage(Record::Accepted { event, to, at_ms: world.now_ms });
            let others = [(3, "x"), (4, "y"), (5, "z")].map(|(id, key)| world.publish(id, key));
            world.keep_view();
            if let Some(with_view) = restarts {
                world.restart(with_view);
            }
            world.pause("a", false);
            let mut calls = Vec::new();
            while !world.calls.is_empty() {
                calls.push(world.answer_batch(|_| Ok(())));
            }
            let of_repaired = calls.iter().position(|call| call.contains(&repaired)).expect("its call");
            assert_eq!(calls[of_repaired], [repaired], "{ordering} {restarts:?}");
            assert!(calls.len() < 5 && calls.iter().any(|call| call.len() > 1), "others share: {calls:?}");
            let before = |position| calls[..of_repaired].iter().flatten().any(|before| *before == position);
            assert!(ordering.contains("none") || before(first) && !before(others[0]), "{calls:?}");
        }
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

/// A world with a handler whose calls take up to `events_max` deliveries.
fn batching(events_max: u32, concurrency: u32, more: &str) -> World {
    let settings = format!(r#","batch":{{"events_max":{events_max}}},"concurrency":{concurrency}{more}"#);
    World::with(&settings)
}

/// Events that arrive in one pass, by key.
fn publish_together(world: &mut World, keys: impl Iterator<Item = String>) {
    world.begin_pass();
    for (id, key) in (0..).zip(keys) {
        world.publish(id, &key);
    }
    world.end_pass();
}

fn sizes(world: &World) -> Vec<usize> {
    world.batches.iter().map(Vec::len).collect()
}

#[test]
fn events_of_one_pass_share_a_call() {
    for ordering in ["", r#","ordering":"handler""#, r#","ordering":"none""#] {
        let mut world = batching(100, 1, ordering);
        publish_together(&mut world, (0..100).map(|n| format!("k{n}")));
        assert_eq!(sizes(&world), [100], "{ordering}");
        world.answer_batch(|_| Ok(()));
        assert_eq!(world.handler("a").open, 0);
    }
}

#[test]
fn one_key_fills_a_call_beyond_what_others_keep_of_a_lane() {
    for ordering in ["", r#","ordering":"handler""#] {
        let mut world = batching(100, 1, ordering);
        publish_together(&mut world, (0..100).map(|_| "x".to_owned()));
        assert_eq!(sizes(&world), [100], "{ordering}");
    }
}

#[test]
fn concurrency_counts_calls_and_later_deliveries_join_the_next_call() {
    let mut world = batching(100, 1, "");
    world.publish(0, "k0");
    for id in 1..=40 {
        world.publish(id, &format!("k{id}"));
    }
    assert_eq!(sizes(&world), [1], "the only place is taken");
    world.answer_batch(|_| Ok(()));
    assert_eq!(sizes(&world), [1, 40]);
    world.answer_batch(|_| Ok(()));
    assert_eq!(world.handler("a").open, 0);
}

#[test]
fn each_free_slot_takes_a_full_call() {
    let mut world = batching(4, 3, "");
    publish_together(&mut world, (0..21).map(|n| format!("k{n}")));
    assert_eq!(sizes(&world), [4, 4, 4]);
    world.answer_batch(|_| Ok(()));
    assert_eq!(sizes(&world), [4, 4, 4, 4]);
    while !world.calls.is_empty() {
        world.answer_batch(|_| Ok(()));
    }
    assert_eq!(sizes(&world), [4, 4, 4, 4, 4, 1]);
}

#[test]
fn a_retried_batch_takes_one_slot_per_call() {
    let mut world = batching(3, 2, r#","retry":[{"attempts":3,"first_delay_ms":10,"jitter":"none"}]"#);
    publish_together(&mut world, (0..3).map(|n| format!("k{n}")));
    world.answer_batch(|_| Err(transient()));
    world.wait(10);
    assert_eq!(sizes(&world), [3, 1, 1], "those that were tried go alone, two at once");
    world.answer_batch(|_| Ok(()));
    assert_eq!(sizes(&world), [3, 1, 1, 1]);
}

#[test]
fn waiting_deliveries_share_calls_after_a_restart() {
    for with_view in [false, true] {
        let mut world = batching(8, 1, "");
        world.pause("a", true);
        publish_together(&mut world, (0..20).map(|n| format!("k{n}")));
        world.keep_view();
        world.restart(with_view);
        world.pause("a", false);
        assert_eq!(sizes(&world), [8]);
        world.answer_batch(|_| Ok(()));
        assert_eq!(sizes(&world), [8, 8]);
    }
}

#[test]
fn reloaded_deliveries_share_calls() {
    let limits = weirgate_core::Limits { waiting_max: 0, lane_max: 1, ..weirgate_core::Limits::default() };
    let mut world = World::new(limits);
    world.deploy("a", r#","batch":{"events_max":2},"concurrency":1"#);
    publish_together(&mut world, (0..10).map(|_| "x".to_owned()));
    assert!(world.handler("a").spilled > 0, "some wait on disk");
    while !world.calls.is_empty() {
        world.answer_batch(|_| Ok(()));
    }
    assert_eq!(sizes(&world), [2; 5]);
}

#[test]
fn a_half_open_breaker_lets_one_delivery_pass() {
    let breaker = r#","breaker":{"attempts_min":2,"failure_ratio":0.5,"open_ms":50,"open_ms_max":50}"#;
    let retry = r#","retry":[{"attempts":9,"first_delay_ms":10,"jitter":"none"}]"#;
    let mut world = batching(4, 8, &format!("{breaker}{retry}"));
    publish_together(&mut world, (0..4).map(|n| format!("k{n}")));
    world.answer_batch(|_| Err(transient()));
    publish_together(&mut world, (4..12).map(|n| format!("k{n}")));
    assert_eq!(sizes(&world), [4], "the breaker is open");
    world.wait(50);
    assert_eq!(sizes(&world), [4, 1]);
    world.answer_batch(|_| Ok(()));
    assert!(sizes(&world).len() > 3 && sizes(&world)[2..].contains(&4), "{:?}", sizes(&world));
}
