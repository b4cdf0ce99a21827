//! What stops a handler as a whole, as data: breakers, too many dead letters, draining. Also timers, which start work.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod world;

use weirgate_types::{BreakerId, HostCall, Mode, Record};
use world::{World, name, permanent, transient};

/// Opens for 1,000 ms, up to 3,000, when two of four attempts failed.
const BREAKER: &str = r#","breaker":{"window_ms":60000,"attempts_min":4,"failure_ratio":0.5,"open_ms":1000,"open_ms_max":3000},"retry":[{"attempts":3,"first_delay_ms":1,"jitter":"none","factor":1}]"#;

fn open() -> World {
    let mut world = World::with(BREAKER);
    for id in 0..8 {
        world.publish(id, &format!("key-{id}"));
    }
    for _ in 0..4 {
        world.answer(Err(&transient()));
    }
    world
}

fn until(world: &World) -> Option<u64> {
    world.handler("a").breaker_open_until_ms
}

#[test]
fn an_open_breaker_starts_no_attempt_and_spends_none() {
    let mut world = open();
    let open_until = until(&world).expect("it is open");
    assert_eq!(open_until, world.now_ms + 1_000);
    while !world.calls.is_empty() {
        world.answer(Ok(()));
    }
    assert_eq!(until(&world), Some(open_until), "those that were under way say nothing new");
    let attempts = world.history.len();
    world.wait(999);
    assert_eq!(world.history.len(), attempts);
    assert_eq!(world.wake_at_ms(), Some(open_until));
    world.wait(1);
    assert_eq!(world.calls.len(), 1, "one half-open probe");
    world.wait(100);
    assert_eq!(world.calls.len(), 1);
    world.answer(Ok(()));
    assert_eq!((until(&world), world.calls.len()), (None, 3));
}

#[test]
fn an_opening_breaker_lets_no_further_attempt_begin() {
    let mut world = World::with(&format!(r#"{BREAKER},"concurrency":1"#));
    for id in 0..8 {
        world.publish(id, &format!("key-{id}"));
    }
    for _ in 0..4 {
        world.answer(Err(&transient()));
    }
    assert_eq!((until(&world).is_some(), world.calls.len()), (true, 0));
}

#[test]
fn a_handler_being_paused_begins_no_further_attempt() {
    let mut world = World::with(r#","concurrency":1,"dead_letter_stop":{"ratio":0.5,"ended_min":1}"#);
    world.publish(1, "x");
    world.publish(2, "y");
    world.answer(Err(&permanent()));
    assert_eq!((world.handler("a").mode, world.calls.len()), (Mode::Paused, 0));
}

#[test]
fn the_open_time_grows_with_each_opening_across_restarts() {
    for with_view in [false, true] {
        let mut world = open();
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
        world.wait(1_000);
        for pause_ms in [2_000, 3_000, 3_000] {
            assert_eq!(world.calls.len(), 1);
            world.answer(Err(&transient()));
            assert_eq!(until(&world), Some(world.now_ms + pause_ms));
            world.keep_view();
            world.restart(with_view);
            assert_eq!(until(&world), Some(world.now_ms + pause_ms));
            world.wait(pause_ms);
        }
    }
}

#[test]
fn an_operator_opens_and_closes_a_breaker() {
    for with_view in [false, true] {
        let mut world = World::with(BREAKER);
        let breaker = BreakerId::Handler(name("a"));
        world.publish(1, "x");
        world.set_breaker(&breaker, true);
        world.publish(2, "y");
        world.answer(Ok(()));
        world.keep_view();
        world.restart(with_view);
        world.wait(86_400_000);
        assert_eq!(world.calls.len(), 0, "what was under way does not close it, nor does a restart");
        world.set_breaker(&breaker, false);
        assert_eq!(world.calls.len(), 1);
    }
}

#[test]
fn correctable_and_permanent_failures_do_not_open_the_breaker() {
    let mut world = World::with(BREAKER);
    for id in 0..20 {
        world.publish(id, "x");
        world.answer(Err(&permanent()));
    }
    assert_eq!(until(&world), None);
}

#[test]
fn a_failing_host_opens_its_breaker_and_is_probed() {
    for with_view in [false, true] {
        let mut world = World::with(HOST);
        let call = |is_success| [HostCall { host: "api.example.com".to_owned(), is_success }];
        for _ in 0..10 {
            world.feed(weirgate_core::Input::Called { handler: &name("a"), calls: &call(false) });
        }
        let until_ms = |world: &World| world.machine.hosts().find_map(|(_, open)| open).map(|open| open.until_ms);
        assert_eq!(until_ms(&world), Some(world.now_ms + 5_000));
        if !with_view {
            world.restart(false);
            assert_eq!(until_ms(&world), Some(world.now_ms + 5_000));
        }
        world.wait(5_000);
        world.feed(weirgate_core::Input::Called { handler: &name("a"), calls: &call(true) });
        assert_eq!(until_ms(&world), None);
    }
}

const HOST: &str = r#","capabilities":{"hosts":["https://api.example.com"]}"#;

/// The hosts whose breakers are open.
fn open_hosts(world: &World) -> Vec<String> {
    world.machine.hosts().filter(|(_, open)| open.is_some()).map(|(host, _)| host.to_string()).collect()
}

fn call_host(world: &mut World, handler: &str, times: usize, is_success: bool) {
    for _ in 0..times {
        let calls = [HostCall { host: "api.example.com".to_owned(), is_success }];
        world.feed(weirgate_core::Input::Called { handler: &name(handler), calls: &calls });
    }
}

#[test]
fn a_host_breaker_opens_for_the_failing_handler_only() {
    let mut world = World::with(HOST);
    world.deploy("b", HOST);
    call_host(&mut world, "b", 20, true);
    call_host(&mut world, "a", 20, false);
    assert_eq!(open_hosts(&world), ["a@api.example.com"]);
    world.restart(false);
    assert_eq!(open_hosts(&world), ["a@api.example.com"]);
}

#[test]
fn an_operator_opens_a_host_breaker_for_all_handlers_until_reset() {
    let mut world = World::with(HOST);
    let breaker = BreakerId::Host(weirgate_types::CalledHost::of_all_handlers("api.example.com"));
    world.set_breaker(&breaker, true);
    call_host(&mut world, "a", 20, true);
    assert_eq!(open_hosts(&world), ["api.example.com"], "what was under way says nothing new");
    assert_eq!(world.machine.hosts_of_all(), 1);
    world.set_breaker(&breaker, false);
    assert_eq!(open_hosts(&world), [] as [&str; 0]);
    assert_eq!(world.machine.hosts_of_all(), 0, "it is forgotten");
}

#[test]
fn a_version_that_may_not_call_a_host_has_no_breaker_of_it() {
    let mut world = World::with(r#","capabilities":{"hosts":["https://api.example.com:443"]}"#);
    call_host(&mut world, "a", 20, false);
    world.deploy("a", r#","capabilities":{"hosts":["https://api.example.com"]},"concurrency":2"#);
    assert_eq!(open_hosts(&world), ["a@api.example.com"], "it may call it still");
    world.deploy("a", r#","capabilities":{"hosts":["https://other.example.com"]}"#);
    assert_eq!(open_hosts(&world), [] as [&str; 0]);
    world.deploy("a", "");
    assert_eq!(world.machine.hosts().count(), 0);
}

#[test]
fn a_version_that_makes_dead_letters_is_paused() {
    let mut world = World::with(r#","dead_letter_stop":{"ratio":0.5,"ended_min":4}"#);
    for id in 0..10 {
        world.publish(id, &format!("key-{id}"));
    }
    for result in [Ok(()), Ok(()), Err(permanent()), Err(permanent())] {
        world.answer(result.as_ref().copied());
    }
    assert_eq!(world.handler("a").mode, Mode::Running, "half is not more than half");
    world.answer(Err(&permanent()));
    assert_eq!(world.handler("a").mode, Mode::Paused);
    let stops = |world: &World| {
        world
            .log
            .iter()
            .filter(|(_, record)| matches!(record, Record::ModeChanged(changed) if changed.mode == Mode::Paused))
            .count()
    };
    world.answer(Err(&permanent()));
    assert_eq!(stops(&world), 1);
    world.publish(11, "late");
    assert!(!world.history.iter().any(|(delivery, _)| world.event_at(delivery.position).key() == "late"));
    world.pause("a", false);
    world.answer(Err(&permanent()));
    assert_eq!((world.handler("a").mode, stops(&world)), (Mode::Running, 1), "counted anew");
}

#[test]
fn a_draining_handler_closes_open_deliveries_and_opens_none() {
    for with_view in [false, true] {
        let mut world = World::with(r#","retry":[{"attempts":3,"first_delay_ms":1}]"#);
        let [first, second] = [1, 2].map(|id| world.publish(id, "x"));
        world.set_mode("a", Mode::Draining);
        let late = world.publish(3, "y");
        world.keep_view();
        world.restart(with_view);
        world.wait(1);
        for position in [first, second] {
            assert_eq!(world.called(), [position.0]);
            world.answer(Ok(()));
        }
        assert_eq!((world.calls.len(), world.handler("a").open), (0, 0));
        assert!(world.handler("a").checkpoint < late);
        world.set_mode("a", Mode::Running);
        assert_eq!(world.called(), [late.0]);
    }
}

#[test]
fn a_draining_handler_opens_no_delivery_after_a_restart_with_less_room() {
    let mut world = World::with("");
    let [_, second] = [1, 2].map(|id| world.publish(id, "x"));
    world.set_mode("a", Mode::Draining);
    world.publish(3, "y");
    world.answer(Ok(()));
    let limits = world.limits;
    world.limits.active_max = 0;
    world.restart(false);
    world.limits = limits;
    assert_eq!(world.states(), [(second.0, "retrying")]);
}

#[test]
fn timers_fire_once_and_never_early() {
    let mut world = World::with("");
    world.timers = vec![5_000, 3_000, 3_000];
    world.feed(weirgate_core::Input::TimersRead { next_due_ms: Some(3_000) });
    assert_eq!(world.wake_at_ms(), Some(3_000));
    for _ in 0..80 {
        world.wait(100);
    }
    assert_eq!(world.fired.iter().map(|(due_ms, _)| *due_ms).collect::<Vec<_>>(), [3_000, 3_000, 5_000]);
    assert!(world.fired.iter().all(|(due_ms, at_ms)| due_ms <= at_ms && *at_ms < due_ms + 100));
    assert_eq!(world.wake_at_ms(), None);
}

#[test]
fn timers_due_during_downtime_fire_at_the_start() {
    let mut world = World::with("");
    world.timers = vec![3_000];
    world.restart(false);
    world.now_ms = 10_000;
    world.feed(weirgate_core::Input::TimersRead { next_due_ms: Some(3_000) });
    assert_eq!(world.fired, [(3_000, 10_000)]);
}
