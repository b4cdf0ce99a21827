//! Resequenced events, as data: which delivery waits for which, for how long, and what happens when the runtime stops in
//! between.

mod world;

use weirgate_core::{DeliveryState, Limits};
use weirgate_types::{Carried, DeliveryCommand, Record};
use world::{
    World, correctable, delivery, event, permanent,
    resequence::{SEQUENCE, TIMEOUT_MS, gaps, publish, run, running},
    transient,
};

const HOLD: &str = r#","resequence":{},"after_dead_letter":"hold","retry":[]"#;
const NONE: [u64; 0] = [];

fn restart(world: &mut World, with_view: bool) {
    world.keep_view();
    world.restart(with_view);
}

#[test]
fn events_in_disorder_are_delivered_in_order() {
    for with_view in [false, true] {
        let mut world = World::with(SEQUENCE);
        let [third, second] = *publish(&mut world, "x", &[3, 2]) else { panic!("two") };
        assert_eq!(run(&mut world), NONE);
        let due_ms = world.now_ms + TIMEOUT_MS;
        assert_eq!(world.state(second), Some(DeliveryState::OutOfOrder { due_ms }));
        assert_eq!(world.state(third), Some(DeliveryState::Blocked(second)));
        restart(&mut world, with_view);
        assert_eq!(world.states(), [(third.0, "blocked"), (second.0, "out-of-order")]);
        assert_eq!(world.wake_at_ms(), Some(due_ms));
        publish(&mut world, "x", &[1]);
        assert_eq!(run(&mut world), [1, 2, 3]);
        assert_eq!((gaps(&world), world.handler("a").open), (Vec::new(), 0));
    }
}

#[test]
fn other_keys_do_not_wait() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[2]);
    publish(&mut world, "y", &[1, 2]);
    assert_eq!(run(&mut world), [1, 2]);
}

#[test]
fn a_gap_is_passed_and_reported_once_after_its_wait() {
    for (before, after) in
        [(None, None), (Some(false), None), (Some(true), None), (None, Some(false)), (None, Some(true))]
    {
        let mut world = World::with(SEQUENCE);
        publish(&mut world, "x", &[1, 4, 5, 8]);
        assert_eq!(run(&mut world), [1]);
        world.wait(TIMEOUT_MS - 1);
        if let Some(with_view) = before {
            restart(&mut world, with_view);
        }
        assert_eq!((run(&mut world).len(), gaps(&world).len()), (0, 0), "not before its time");
        world.wait(1);
        if let Some(with_view) = after {
            restart(&mut world, with_view);
            world.wait(10);
        }
        assert_eq!(run(&mut world), [4, 5, 8]);
        assert_eq!(gaps(&world), [(2, 4), (6, 8)]);
        world.wait(TIMEOUT_MS);
        restart(&mut world, after.unwrap_or_default());
        assert_eq!(gaps(&world).len(), 2, "once");
    }
}

#[test]
fn each_gap_wait_starts_when_its_event_came() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[3]);
    world.wait(600);
    publish(&mut world, "x", &[2]);
    world.wait(600);
    assert_eq!(run(&mut world), NONE, "the second is first now, and has not waited long");
    world.wait(400);
    assert_eq!(run(&mut world), [2, 3]);
    assert_eq!(gaps(&world), [(1, 2)]);
}

#[test]
fn a_late_event_is_delivered_when_it_comes() {
    for with_view in [false, true] {
        let mut world = World::with(SEQUENCE);
        publish(&mut world, "x", &[3]);
        world.wait(TIMEOUT_MS);
        assert_eq!(run(&mut world), [3]);
        restart(&mut world, with_view);
        publish(&mut world, "x", &[5, 2]);
        assert_eq!(run(&mut world), [2]);
        publish(&mut world, "x", &[4]);
        assert_eq!(run(&mut world), [4, 5]);
    }
}

#[test]
fn an_event_without_a_number_does_not_wait() {
    for with_view in [false, true] {
        let mut world = World::with(SEQUENCE);
        publish(&mut world, "x", &[2]);
        let other =
            world.stage(Record::Accepted { event: event(900, "x", "order.placed"), to: None, at_ms: world.now_ms });
        world.settle();
        restart(&mut world, with_view);
        world.wait(10);
        assert_eq!(world.called(), [other.0]);
        assert_eq!(run(&mut world), [0]);
        publish(&mut world, "x", &[1]);
        assert_eq!(run(&mut world), [1, 2], "it took no number");
    }
}

#[test]
fn a_failed_delivery_is_not_overtaken() {
    for with_view in [false, true] {
        let mut world = World::with(SEQUENCE);
        let first = publish(&mut world, "x", &[4])[0];
        world.wait(TIMEOUT_MS);
        world.answer(Err(&transient()));
        publish(&mut world, "x", &[2, 5]);
        world.publish(900, "x");
        restart(&mut world, with_view);
        assert_eq!(world.states().first(), Some(&(first.0, "retrying")));
        assert_eq!(run(&mut world), NONE);
        world.wait(10);
        assert_eq!(run(&mut world), [4, 0, 2, 5]);
    }
}

#[test]
fn a_retry_that_waits_and_a_gap_behind_it_have_their_own_times() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[1, 3]);
    for _ in 0..150 {
        if !world.calls.is_empty() {
            world.answer(Err(&transient()));
        }
        world.wait(9);
    }
    assert_eq!(gaps(&world), [], "the second may come while the first is tried");
    world.wait(10);
    assert_eq!(run(&mut world), [1, 3]);
    assert_eq!(gaps(&world), [(2, 3)], "it has waited long enough by then");
}

#[test]
fn a_number_that_comes_twice_is_delivered_twice_in_the_order_of_position() {
    let mut world = World::with(SEQUENCE);
    let positions = publish(&mut world, "x", &[2, 2, 1]);
    let mut done = Vec::new();
    while !world.calls.is_empty() {
        done.push(world.answer(Ok(())).position);
    }
    assert_eq!(done, [positions[2], positions[0], positions[1]]);
}

#[test]
fn a_dead_letter_advances_the_next_number() {
    for with_view in [false, true] {
        let mut world = World::with(SEQUENCE);
        publish(&mut world, "x", &[2, 1]);
        let dead = world.answer(Err(&permanent()));
        restart(&mut world, with_view);
        world.wait(10);
        assert_eq!(run(&mut world), [2]);
        world.retry(&dead, "x");
        assert_eq!(run(&mut world), [1]);
        publish(&mut world, "x", &[3]);
        assert_eq!(run(&mut world), [3]);
    }
}

#[test]
fn a_held_dead_letter_blocks_its_sequence_until_a_command() {
    for (with_view, command) in
        [(false, DeliveryCommand::Skip), (true, DeliveryCommand::Discard), (true, DeliveryCommand::Resolve)]
    {
        let mut world = World::with(HOLD);
        let [_, first] = *publish(&mut world, "x", &[2, 1]) else { panic!("two") };
        world.answer(Err(&permanent()));
        world.publish(900, "x");
        restart(&mut world, with_view);
        world.wait(86_400_000);
        assert_eq!(run(&mut world), NONE);
        world.command(&delivery("a", first), "x", command, Carried::default());
        assert_eq!(run(&mut world), [0, 2]);
        assert_eq!(gaps(&world), []);
    }
}

#[test]
fn an_operator_can_run_or_skip_an_out_of_order_delivery() {
    for (command, done) in [(DeliveryCommand::Retry, vec![3, 4]), (DeliveryCommand::Skip, vec![4])] {
        let mut world = World::with(SEQUENCE);
        let third = publish(&mut world, "x", &[3, 4])[0];
        world.command(&delivery("a", third), "x", command, Carried::default());
        assert_eq!(run(&mut world), done);
        assert_eq!(gaps(&world), [], "it was decided, not waited for");
    }
}

#[test]
fn a_batch_takes_only_consecutive_numbers() {
    let mut world = World::with(&format!(r#"{SEQUENCE},"batch":{{"events_max":8}}"#));
    world.pause("a", true);
    publish(&mut world, "x", &[3, 1, 2, 5]);
    world.pause("a", false);
    assert_eq!(running(&world), [1, 2, 3]);
    world.answer_batch(|_| Ok(()));
    publish(&mut world, "x", &[4]);
    assert_eq!(run(&mut world), [4, 5]);
}

#[test]
fn a_lagging_handler_reports_no_gap_before_it_has_scanned() {
    for restarted in [None, Some(false), Some(true)] {
        let mut world = World::new(Limits { active_max: 2, ..Limits::default() });
        world.deploy("a", SEQUENCE);
        world.pause("a", true);
        publish(&mut world, "x", &[2]);
        publish(&mut world, "y", &[1]);
        publish(&mut world, "z", &[1]);
        // There is no room for it: it is in the log, not scanned.
        let first = publish(&mut world, "x", &[1])[0];
        assert!(world.handler("a").scanned < first);
        world.wait(10 * TIMEOUT_MS);
        if let Some(with_view) = restarted {
            restart(&mut world, with_view);
        }
        world.pause("a", false);
        assert_eq!(world.wake_at_ms(), None, "time alone changes nothing");
        assert_eq!(run(&mut world), [1, 1, 1, 2]);
        assert_eq!(gaps(&world), []);
    }
}

/// In memory they could only wait, and be spilled again: the handler would do nothing else.
#[test]
fn gaps_that_are_due_stay_on_disk_while_the_handler_lags() {
    let mut world = World::new(Limits { active_max: 2, waiting_max: 1, ..Limits::default() });
    world.deploy("a", SEQUENCE);
    world.pause("a", true);
    for key in ["u", "v", "w", "x"] {
        publish(&mut world, key, &[2]);
    }
    publish(&mut world, "y", &[1]);
    publish(&mut world, "z", &[1]);
    let first = publish(&mut world, "x", &[1])[0];
    assert!(world.handler("a").scanned < first && world.handler("a").spilled >= 3);
    world.pause("a", false);
    world.wait(10 * TIMEOUT_MS);
    let reloads = world.reloads;
    for _ in 0..9 {
        world.wait(1);
    }
    assert_eq!((world.reloads - reloads, world.wake_at_ms()), (0, None), "time alone changes nothing");
    let mut done = run(&mut world);
    for _ in 0..9 {
        world.wait(1);
        done.extend(run(&mut world));
    }
    done.sort_unstable();
    assert_eq!((done, gaps(&world)), (vec![1, 1, 1, 2, 2, 2, 2], vec![(1, 2); 3]));
}

#[test]
fn a_delivery_added_to_a_spilled_lane_survives_a_crash() {
    let mut world = World::new(Limits { waiting_max: 0, ..Limits::default() });
    world.deploy("a", SEQUENCE);
    publish(&mut world, "x", &[2]);
    world.wait(1);
    assert_eq!(world.handler("a").spilled, 1);
    // It is spilled, and not reloaded when the views are kept.
    world.begin_pass();
    publish(&mut world, "x", &[1]);
    world.keep_view();
    world.restart(true);
    world.end_pass();
    assert_eq!(run(&mut world), [1, 2]);
}

#[test]
fn a_closed_delivery_that_is_scanned_again_advances_the_next_number() {
    let mut world = World::new(Limits { waiting_max: 0, open_max: 2, ..Limits::default() });
    world.deploy("a", SEQUENCE);
    publish(&mut world, "x", &[2]);
    publish(&mut world, "y", &[2]);
    let skipped = publish(&mut world, "z", &[2])[0];
    world.command(&delivery("a", skipped), "z", DeliveryCommand::Skip, Carried::default());
    // Nothing is on disk while the log is replayed, so there is no room for the third when its end is read.
    world.restart(false);
    publish(&mut world, "z", &[3]);
    assert_eq!(run(&mut world), [3]);
}

#[test]
fn a_draining_handler_does_not_wait_for_numbers_beyond_its_scan() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[2]);
    world.set_mode("a", weirgate_types::Mode::Draining);
    publish(&mut world, "x", &[1]);
    world.wait(TIMEOUT_MS);
    assert_eq!(run(&mut world), [2]);
}

#[test]
fn a_deployment_without_resequencing_delivers_waiting_events() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[3, 2]);
    world.deploy("a", "");
    assert_eq!(run(&mut world), [2, 3]);
    assert_eq!(gaps(&world), []);
}

#[test]
fn a_deployment_may_begin_with_another_number() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[1]);
    publish(&mut world, "y", &[10]);
    assert_eq!(run(&mut world), [1]);
    world.deploy("a", r#","resequence":{"first":10,"gap_timeout_ms":1000}"#);
    publish(&mut world, "x", &[3, 2]);
    assert_eq!(run(&mut world), [10, 2, 3], "a key that has begun continues at its number");
}

#[test]
fn spilled_deliveries_are_reloaded_by_number_and_by_due_time() {
    for with_view in [false, true] {
        let mut world = World::new(Limits { waiting_max: 2, ..Limits::default() });
        world.deploy("a", SEQUENCE);
        let keys: Vec<_> = (0..20).map(|key| format!("key-{key}")).collect();
        for key in &keys {
            publish(&mut world, key, &[3, 2]);
        }
        let view = world.handler("a");
        assert!(view.open - view.spilled <= 5, "{} of {} in memory", view.open - view.spilled, view.open);
        restart(&mut world, with_view);
        for key in &keys[..10] {
            publish(&mut world, key, &[1]);
            assert_eq!(run(&mut world), [1, 2, 3], "{key}");
        }
        assert_eq!(gaps(&world), []);
        world.wait(TIMEOUT_MS);
        let mut done = run(&mut world);
        for _ in 0..20 {
            world.wait(1);
            done.extend(run(&mut world));
        }
        assert_eq!((done.len(), gaps(&world)), (20, vec![(1, 2); 10]));
        assert!(world.rows.is_empty());
    }
}

#[test]
fn a_long_lane_that_waits_is_bounded_and_keeps_its_order() {
    for with_view in [false, true] {
        let mut world = World::new(Limits { waiting_max: 2, ..Limits::default() });
        world.deploy("a", SEQUENCE);
        let numbers: Vec<_> = (2..=200).rev().collect();
        publish(&mut world, "x", &numbers);
        let view = world.handler("a");
        assert!(view.open - view.spilled <= 64, "{} in memory", view.open - view.spilled);
        restart(&mut world, with_view);
        publish(&mut world, "x", &[1]);
        assert_eq!(run(&mut world), (1..=200).collect::<Vec<_>>());
    }
}

#[test]
fn spilled_deliveries_accept_operators_commands() {
    let mut world = World::new(Limits { waiting_max: 1, ..Limits::default() });
    world.deploy("a", SEQUENCE);
    let positions = publish(&mut world, "x", &[5, 4, 3]);
    publish(&mut world, "y", &[3, 2]);
    publish(&mut world, "z", &[3, 2]);
    world.command(&delivery("a", positions[2]), "x", DeliveryCommand::Skip, Carried::default());
    assert_eq!(run(&mut world), [4, 5]);
}

#[test]
fn a_delivery_awaiting_correction_keeps_its_rank() {
    let mut world = World::with(SEQUENCE);
    let [_, first] = *publish(&mut world, "x", &[2, 1]) else { panic!("two") };
    world.answer(Err(&correctable()));
    assert_eq!(run(&mut world), NONE);
    world.publish_as(900, "x", "fix.address");
    assert_eq!(world.called(), [first.0]);
    assert_eq!(run(&mut world), [1, 2]);
}
