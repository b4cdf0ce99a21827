//! Keys on hold, as data: no attempt of them begins, nothing else waits, and no hold outlasts its time.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::{HOLD_MS_MAX, HoldId, Input, Limits};
use weirgate_types::{Effects, HandlerName, KeyHash, KeyHasher, Position, Record, Removed, Repaired};
use world::{World, event, name, repaired, transient};

const ONE: HoldId = HoldId(1);

fn hash(key: &str) -> KeyHash {
    KeyHasher::default().hash(key)
}

fn hold(world: &mut World, hold: HoldId, key: &str) {
    world.feed(Input::Hold { hold, handler: &name("a"), key: hash(key) });
}

fn end(world: &mut World, hold: HoldId) {
    world.feed(Input::EndHold { hold });
    world.feed(Input::Tick);
}

fn is_quiet(world: &World, id: HoldId, key: &str) -> bool {
    world.machine.is_quiet(id, &name("a"), hash(key), world.now_ms)
}

/// What it takes to run each kind of lane.
const ORDERS: [&str; 5] = [
    "",
    r#","ordering":"handler""#,
    r#","ordering":"none""#,
    r#","ordering":"none","emit_order":"input""#,
    r#","batch":{"events_max":4}"#,
];

#[test]
fn a_hold_is_quiet_once_the_running_attempt_has_ended_and_lets_none_begin() {
    for order in ORDERS {
        let mut world = World::with(order);
        let first = world.publish(1, "x");
        hold(&mut world, ONE, "x");
        assert_eq!((world.quiet.len(), is_quiet(&world, ONE, "x")), (0, false), "{order}");
        let later = world.publish(2, "x");
        assert_eq!(world.called(), [first.0], "{order}");
        world.answer(Ok(()));
        assert_eq!((world.quiet.as_slice(), world.called().len()), ([ONE].as_slice(), 0), "{order}");
        assert!(is_quiet(&world, ONE, "x") && !is_quiet(&world, ONE, "y") && !is_quiet(&world, HoldId(2), "x"));
        end(&mut world, ONE);
        assert_eq!((world.called(), is_quiet(&world, ONE, "x")), (vec![later.0], false), "{order}");
        world.answer(Ok(()));
        assert_eq!(world.handler("a").open, 0, "{order}");
    }
}

#[test]
fn other_keys_and_other_handlers_do_not_wait() {
    for order in ["", r#","ordering":"none""#, r#","batch":{"events_max":4}"#] {
        let mut world = World::with(order);
        world.deploy("b", order);
        hold(&mut world, ONE, "x");
        assert_eq!(world.quiet, [ONE]);
        let [held, other] = [(1, "x"), (2, "y")].map(|(id, key)| world.publish(id, key));
        let called: Vec<_> = world.calls.iter().map(|(id, _)| (id.handler.as_str().to_owned(), id.position)).collect();
        assert_eq!(called, [("b".into(), held), ("a".into(), other), ("b".into(), other)], "{order}");
    }
}

#[test]
fn a_batch_takes_none_of_a_key_on_hold() {
    for order in ["", r#","ordering":"handler""#] {
        let mut world = World::with(&format!(r#","batch":{{"events_max":4}},"concurrency":1{order}"#));
        world.pause("a", true);
        let [first, held, last] = [(1, "y"), (2, "x"), (3, "z")].map(|(id, key)| world.publish(id, key));
        hold(&mut world, ONE, "x");
        world.pause("a", false);
        let expected = if order.is_empty() { vec![first, last] } else { vec![first] };
        assert_eq!(world.batch_of_first(), expected, "{order}");
        world.answer_batch(|_| Ok(()));
        // In one lane for all keys, what follows waits as well.
        assert_eq!(world.called().len(), 0, "{order}");
        end(&mut world, ONE);
        assert!(world.batch_of_first().contains(&held), "{order}");
    }
}

#[test]
fn a_hold_that_is_not_ended_is_over_after_its_time() {
    let mut world = World::with("");
    let first = world.publish(1, "x");
    hold(&mut world, ONE, "x");
    let begun_ms = world.now_ms;
    assert_eq!(world.wake_at_ms(), Some(begun_ms + HOLD_MS_MAX));
    world.wait(HOLD_MS_MAX - 1);
    world.answer(Ok(()));
    assert_eq!((world.quiet.as_slice(), world.over.len()), ([ONE].as_slice(), 0));
    let later = world.publish(2, "x");
    assert!(world.called().is_empty() && is_quiet(&world, ONE, "x"));
    world.wait(1);
    assert_eq!((world.called(), world.over.as_slice()), (vec![later.0], [ONE].as_slice()));
    assert!(!is_quiet(&world, ONE, "x") && later > first);
}

#[test]
fn a_retry_that_is_due_waits_for_the_hold_and_is_not_lost() {
    let mut world = World::with(r#","retry":[{"attempts":9,"first_delay_ms":10,"jitter":"none","factor":1}]"#);
    let position = world.publish(1, "x");
    world.answer(Err(&transient()));
    hold(&mut world, ONE, "x");
    world.wait(20);
    assert!(world.called().is_empty());
    end(&mut world, ONE);
    assert_eq!(world.called(), [position.0]);
}

#[test]
fn deliveries_of_a_key_that_are_on_disk_wait_as_well() {
    let mut world = World::new(Limits { waiting_max: 2, ..Limits::default() });
    world.deploy("a", r#","retry":[{"attempts":9,"first_delay_ms":10,"jitter":"none","factor":1}]"#);
    let positions: Vec<_> = (0..20).map(|id| world.publish(id, &format!("key-{id}"))).collect();
    while !world.calls.is_empty() {
        world.answer(Err(&transient()));
    }
    assert!(world.handler("a").spilled > 10);
    let spilled = world.rows.iter().find(|(_, row)| row.spilled).map(|(id, _)| id.position).expect("one");
    let index = positions.iter().position(|position| *position == spilled).expect("published");
    hold(&mut world, ONE, &format!("key-{index}"));
    for _ in 0..40 {
        world.wait(20);
        assert!(!world.called().contains(&spilled.0));
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
    }
    assert_eq!(world.handler("a").open, 1, "all but the one on hold");
    world.wait(HOLD_MS_MAX);
    assert_eq!(world.called(), [spilled.0]);
}

#[test]
fn one_hold_for_a_key_at_a_time_and_few_in_all() {
    let mut world = World::with("");
    let may = |world: &World, handler: HandlerName, key: &str| world.machine.may_hold(&handler, hash(key));
    assert!(may(&world, name("a"), "0") && !may(&world, name("none"), "0"));
    for id in 0..64 {
        assert!(may(&world, name("a"), &id.to_string()), "{id}");
        hold(&mut world, HoldId(id), &id.to_string());
    }
    assert!(!may(&world, name("a"), "0") && !may(&world, name("a"), "64"));
    end(&mut world, HoldId(7));
    assert!(may(&world, name("a"), "7") && may(&world, name("a"), "64") && !may(&world, name("a"), "8"));
}

#[test]
fn no_key_is_on_hold_after_a_restart_and_none_of_a_removed_handler() {
    let mut world = World::with("");
    hold(&mut world, ONE, "x");
    let position = world.publish(1, "x");
    assert!(world.called().is_empty());
    world.restart(false);
    world.feed(Input::Tick);
    assert_eq!(world.called(), [position.0]);
    world.answer(Ok(()));
    hold(&mut world, ONE, "x");
    let (actor, reason) = (String::new(), String::new());
    world.stage(Record::Removed(Removed { handler: name("a"), actor, reason, at_ms: world.now_ms }));
    assert_eq!(world.over, [ONE]);
    world.deploy("a", "");
    world.publish(2, "x");
    assert_eq!(world.called().len(), 1);
}

#[test]
fn a_repairs_events_are_delivered_and_its_own_to_the_handler_alone() {
    let mut world = World::with("");
    world.deploy("b", "");
    let corrected = event(7, "x", "weirgate.key.repaired");
    let emitted = vec![event(8, "x", "order.placed")];
    let effects = Effects { emitted, ..Effects::default() };
    let repaired = Repaired { depth: 2, effects, corrected: Some(corrected), ..repaired("a", "x", Position(1)) };
    let first = world.stage(Record::Repaired(Box::new(repaired)));
    world.settle();
    let called: Vec<_> = world.calls.iter().map(|(id, _)| (id.handler.as_str().to_owned(), id.position)).collect();
    assert_eq!(called, [("a".into(), first), ("b".into(), first.next())], "in order of the key");
    world.answer(Ok(()));
    assert_eq!(world.called(), [first.next().0, first.next().0], "both get the emitted one");
}
