//! Events that are put back into order, as data: what waits for what, for how long, and what becomes of it when the runtime
//! stops in the middle.

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
fn what_comes_in_disorder_is_delivered_in_order() {
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
fn a_gap_is_waited_for_reported_once_and_passed() {
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
fn each_waits_from_when_it_came() {
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
fn a_late_one_is_delivered_when_it_comes() {
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
fn one_without_a_number_waits_for_no_number() {
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
fn what_failed_is_overtaken_by_nothing() {
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
fn a_dead_letter_has_had_its_number() {
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
fn a_held_dead_letter_holds_its_key_until_somebody_decides() {
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
fn somebody_may_let_one_run_that_waits_or_skip_it() {
    for (command, done) in [(DeliveryCommand::Retry, vec![3, 4]), (DeliveryCommand::Skip, vec![4])] {
        let mut world = World::with(SEQUENCE);
        let third = publish(&mut world, "x", &[3, 4])[0];
        world.command(&delivery("a", third), "x", command, Carried::default());
        assert_eq!(run(&mut world), done);
        assert_eq!(gaps(&world), [], "it was decided, not waited for");
    }
}

#[test]
fn a_batch_takes_what_is_next_and_no_more() {
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
fn a_handler_that_lags_takes_no_gap_for_one_before_it_has_looked() {
    for restarted in [None, Some(false), Some(true)] {
        let mut world = World::new(Limits { active_max: 2, ..Limits::default() });
        world.deploy("a", SEQUENCE);
        world.pause("a", true);
        publish(&mut world, "x", &[2]);
        publish(&mut world, "y", &[1]);
        publish(&mut world, "z", &[1]);
        // There is no room for it: it is in the log, and not looked at.
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

#[test]
fn one_that_came_to_a_lane_on_disk_is_not_forgotten_by_a_crash() {
    let mut world = World::new(Limits { waiting_max: 0, ..Limits::default() });
    world.deploy("a", SEQUENCE);
    publish(&mut world, "x", &[2]);
    world.wait(1);
    assert_eq!(world.handler("a").spilled, 1);
    // It goes there, and has not come back when the views are kept.
    world.begin_pass();
    publish(&mut world, "x", &[1]);
    world.keep_view();
    world.restart(true);
    world.end_pass();
    assert_eq!(run(&mut world), [1, 2]);
}

#[test]
fn one_that_was_decided_about_before_it_is_looked_at_again_has_had_its_number() {
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
fn a_draining_handler_waits_for_nothing_that_it_will_not_take() {
    let mut world = World::with(SEQUENCE);
    publish(&mut world, "x", &[2]);
    world.set_mode("a", weirgate_types::Mode::Draining);
    publish(&mut world, "x", &[1]);
    world.wait(TIMEOUT_MS);
    assert_eq!(run(&mut world), [2]);
}

#[test]
fn a_deployment_that_does_not_ask_for_order_delivers_what_waits() {
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
    assert_eq!(run(&mut world), [10, 2, 3], "a key that has begun goes on where it was");
}

#[test]
fn what_waits_on_disk_comes_back_for_its_number_and_for_its_time() {
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
fn somebody_may_decide_about_what_waits_on_disk() {
    let mut world = World::new(Limits { waiting_max: 1, ..Limits::default() });
    world.deploy("a", SEQUENCE);
    let positions = publish(&mut world, "x", &[5, 4, 3]);
    publish(&mut world, "y", &[3, 2]);
    publish(&mut world, "z", &[3, 2]);
    world.command(&delivery("a", positions[2]), "x", DeliveryCommand::Skip, Carried::default());
    assert_eq!(run(&mut world), [4, 5]);
}

#[test]
fn what_waits_for_a_correction_keeps_its_place() {
    let mut world = World::with(SEQUENCE);
    let [_, first] = *publish(&mut world, "x", &[2, 1]) else { panic!("two") };
    world.answer(Err(&correctable()));
    assert_eq!(run(&mut world), NONE);
    world.publish_as(900, "x", "fix.address");
    assert_eq!(world.called(), [first.0]);
    assert_eq!(run(&mut world), [1, 2]);
}
