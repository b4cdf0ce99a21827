//! A handler is removed: nothing of it is left, and a later deployment of its name makes a new one.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_core::Input;
use weirgate_types::{HostCall, Mode, Record, Removed};
use world::{DIGEST, World, name};

fn remove(world: &mut World, handler: &str) {
    let (actor, reason, at_ms) = ("test".to_owned(), String::new(), world.now_ms);
    world.stage(Record::Removed(Removed { handler: name(handler), actor, reason, at_ms }));
    world.settle();
}

#[test]
fn a_removed_handler_takes_nothing_and_others_continue() {
    let mut world = World::with("");
    world.deploy("b", "");
    remove(&mut world, "a");
    let position = world.publish(1, "x");
    assert_eq!(world.called(), [position.0]);
    assert_eq!(world.answer(Ok(())).handler, name("b"));
    assert!(world.machine.handler(&name("a")).is_none());
}

#[test]
fn a_handler_of_the_same_name_begins_anew() {
    for with_view in [false, true] {
        let mut world = World::with(r#","start":"beginning""#);
        let first = world.publish(1, "x");
        world.answer(Ok(()));
        world.set_mode("a", Mode::Draining);
        world.keep_view();
        remove(&mut world, "a");
        let second = world.publish(2, "x");
        world.deploy("a", r#","start":"beginning""#);
        assert_eq!(world.called(), [first.0]);
        world.restart(with_view);
        assert_eq!(world.handler("a").mode, Mode::Running);
        world.wait(60_000);
        while !world.calls.is_empty() {
            world.answer(Ok(()));
            world.wait(60_000);
        }
        let completed: Vec<_> = world.history.iter().map(|(delivery, _)| delivery.position).collect();
        assert!(completed.contains(&second), "{completed:?}");
        assert_eq!((world.handler("a").open, world.handler("a").lag), (0, 0));
    }
}

#[test]
fn late_inputs_about_a_removed_handler_change_nothing() {
    let mut world = World::with(r#","capabilities":{"hosts":["https://api.example.com"]}"#);
    let calls = [HostCall { host: "api.example.com".to_owned(), is_success: false }];
    for _ in 0..20 {
        world.feed(Input::Called { handler: &name("a"), calls: &calls });
    }
    assert_eq!(world.machine.hosts().count(), 1);
    remove(&mut world, "a");
    assert_eq!(world.machine.hosts().count(), 0, "its breakers are gone");
    let length = world.log.len();
    world.feed(Input::Called { handler: &name("a"), calls: &calls });
    world.feed(Input::Scanned { handler: &name("a"), events: &[], through: world.head() });
    world.feed(Input::Unready { handler: &name("a"), digest: DIGEST });
    assert_eq!((world.log.len(), world.machine.hosts().count()), (length, 0));
}
