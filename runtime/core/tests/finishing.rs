//! `on_deploy = "finish"`: what is under way at a fence stays with its version.

mod world;

use weirgate_core::Limits;
use weirgate_types::{Mode, Position, Record};
use world::{
    World, correctable, delivery, name, permanent, repaired,
    resequence::{SEQUENCE, TIMEOUT_MS},
    transient,
};

const RETRY: &str = r#","concurrency":4,"retry":[{"attempts":9,"first_delay_ms":10,"jitter":"none"}]"#;

/// The version of each recorded attempt at a delivery, 1 for the first deployment.
fn versions(world: &World, position: Position) -> Vec<usize> {
    let deployed = world.log.iter().filter(|(_, record)| matches!(record, Record::Deployed(_)));
    let deployed: Vec<_> = deployed.map(|(position, _)| *position).collect();
    let attempts = world.log.iter().filter_map(|(_, record)| match record {
        Record::Attempted { delivery, version, .. } if delivery.position == position => Some(*version),
        _ => None,
    });
    attempts.map(|version| deployed.partition_point(|one| *one <= version)).collect()
}

#[test]
fn a_key_stays_until_it_has_no_open_delivery_left() {
    let mut world = World::with(RETRY);
    let [one, two] = [1, 2].map(|id| world.publish(id, "x"));
    world.deploy_to_finish("a", RETRY);
    let [three, other] = [(3, "x"), (4, "y")].map(|(id, key)| world.publish(id, key));
    assert_eq!(world.called(), [one.0, other.0], "the running attempt is not discarded");
    assert_eq!((versions(&world, one), versions(&world, other)), (vec![1], vec![2]));
    world.answer_at(one, Err(&transient()));
    world.wait(1_000);
    world.answer_at(one, Ok(()));
    assert_eq!(versions(&world, one), [1, 1], "a retry too");
    world.answer_at(two, Ok(()));
    assert_eq!((versions(&world, two), versions(&world, three)), (vec![1], vec![1]), "what came meanwhile too");
    world.answer_at(three, Ok(()));
    let four = world.publish(5, "x");
    assert_eq!(versions(&world, four), [2], "nothing was under way any more");
}

#[test]
fn a_key_stays_while_it_has_a_timer() {
    let mut world = World::with(RETRY);
    world.publish(1, "x");
    world.answer(Ok(()));
    let version = world.handler("a").version;
    world.timers_of.insert((name("a"), "x".to_owned()), version);
    world.deploy_to_finish("a", RETRY);
    let position = world.publish(2, "x");
    world.answer(Ok(()));
    assert_eq!(versions(&world, position), [1]);
    world.timers_of.clear();
    let position = world.publish(3, "x");
    assert_eq!(versions(&world, position), [2]);
}

#[test]
fn a_deployment_that_moves_moves_all_and_one_that_finishes_keeps_what_was_moved() {
    let mut world = World::with(RETRY);
    let one = world.publish(1, "x");
    world.deploy_to_finish("a", RETRY);
    let two = world.publish(2, "y");
    world.deploy("a", RETRY);
    assert!(world.handler("a").finishing.is_empty());
    world.deploy_to_finish("a", RETRY);
    let three = world.publish(3, "z");
    while !world.calls.is_empty() {
        world.answer(Ok(()));
    }
    let last = |position| versions(&world, position).last().copied();
    assert_eq!([one, two, three].map(last), [Some(3), Some(3), Some(4)]);
    assert_eq!(world.handler("a").open, 0);
}

#[test]
fn versions_without_anything_left_are_dropped_by_the_next_deployment() {
    let mut world = World::with(RETRY);
    let one = world.publish(1, "x");
    world.answer(Err(&correctable()));
    for _ in 0..3 {
        world.deploy_to_finish("a", RETRY);
    }
    assert_eq!(world.handler("a").finishing.len(), 1, "2 and 3 had nothing under way");
    world.retry(&delivery("a", one), "x");
    world.answer(Ok(()));
    assert_eq!(versions(&world, one), [1, 1], "an operator's retry of what is open too");
    world.deploy_to_finish("a", RETRY);
    assert!(world.handler("a").finishing.is_empty());
    world.retry(&delivery("a", one), "x");
    assert_eq!(versions(&world, one), [1, 1, 5], "it was closed: nothing was under way");
}

#[test]
fn deliveries_of_two_versions_share_no_call() {
    let batch = r#","concurrency":1,"batch":{"events_max":8}"#;
    let mut world = World::with(batch);
    world.pause("a", true);
    let old = [(1, "x"), (2, "y")].map(|(id, key)| world.publish(id, key));
    world.deploy_to_finish("a", r#","concurrency":1"#);
    let new = [(3, "u"), (4, "x"), (5, "v")].map(|(id, key)| world.publish(id, key));
    world.pause("a", false);
    let mut calls = Vec::new();
    while !world.calls.is_empty() {
        let call = world.batch_of_first();
        calls.push(call.iter().map(|one| (one.0, versions(&world, *one))).collect::<Vec<_>>());
        world.answer_batch(|_| Ok(()));
    }
    let alone = |position: Position, version| vec![(position.0, vec![version])];
    let together: Vec<_> = [old[0], new[1], old[1]].map(|one| (one.0, vec![1])).to_vec();
    let mut wanted = vec![together, alone(new[0], 2), alone(new[2], 2)];
    for calls in [&mut calls, &mut wanted] {
        for call in calls.iter_mut() {
            call.sort();
        }
        calls.sort();
    }
    assert_eq!(calls, wanted, "and each call has the size of its version");
}

/// Whatever is in memory, on disk or not opened yet, and whenever the process restarts.
#[test]
fn spilled_and_unscanned_deliveries_stay_too() {
    let limits = Limits { lane_max: 2, waiting_max: 1, active_max: 4, open_max: 12, ..Limits::default() };
    for restarts in [None, Some(false), Some(true)] {
        let mut world = World::new(limits);
        world.deploy("a", RETRY);
        world.pause("a", true);
        let old: Vec<_> =
            (0..24).zip(["x", "y", "z"].into_iter().cycle()).map(|(id, key)| world.publish(id, key)).collect();
        world.deploy_to_finish("a", RETRY);
        assert_eq!(world.handler("a").finishing.len(), 1);
        let new = [(100, "x"), (101, "new")].map(|(id, key)| world.publish(id, key));
        world.keep_view();
        if let Some(with_view) = restarts {
            world.restart(with_view);
        }
        world.pause("a", false);
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
        assert_eq!((world.handler("a").open, world.handler("a").lag), (0, 0));
        for position in old {
            assert_eq!(versions(&world, position), [1], "{position} {restarts:?}");
        }
        assert_eq!(new.map(|position| versions(&world, position)), [vec![1], vec![2]], "{restarts:?}");
    }
}

/// What came under it is not opened yet, so it is not known to have nothing left.
#[test]
fn a_version_with_events_that_are_not_scanned_is_kept() {
    let mut world = World::with(RETRY);
    let one = world.publish(1, "x");
    world.deploy_to_finish("a", RETRY);
    let two = world.publish(2, "y");
    world.answer_at(two, Ok(()));
    world.set_mode("a", Mode::Draining);
    let three = world.publish(3, "y");
    assert!(world.handler("a").scanned < three);
    world.deploy_to_finish("a", RETRY);
    world.set_mode("a", Mode::Running);
    let four = world.publish(4, "z");
    while !world.calls.is_empty() {
        world.answer(Ok(()));
    }
    assert_eq!([one, two, three, four].map(|position| versions(&world, position)), [[1], [2], [2], [3]]);
}

/// A handler that lagged opened them when nothing of their key was under way any more. In the replay of the log it does not lag,
/// and opens them earlier.
#[test]
fn a_key_never_goes_back_to_an_earlier_version_after_a_restart() {
    for (lane_max, restarts) in [(64, 1), (64, 2), (2, 1), (2, 2)] {
        let mut world = World::new(Limits { open_max: 1, lane_max, ..Limits::default() });
        world.deploy("a", RETRY);
        let one = world.publish(1, "x");
        world.deploy_to_finish("a", RETRY);
        let rest: Vec<_> = (2..12).map(|id| world.publish(id, "x")).collect();
        world.answer(Ok(()));
        assert_eq!((versions(&world, one), versions(&world, rest[0])), (vec![1], vec![2]));
        world.limits.active_max = 64;
        for _ in 0..restarts {
            world.restart(true);
            world.keep_view();
        }
        while !world.calls.is_empty() || world.wake_at_ms().is_some() {
            world.wait(1_000);
            if !world.calls.is_empty() {
                world.answer(Ok(()));
            }
        }
        assert_eq!(world.handler("a").open, 0);
        for position in rest {
            assert!(versions(&world, position).iter().all(|version| *version == 2), "{position}, {lane_max}");
        }
    }
}

/// The same where the later version has repaired the key, and attempted none of its deliveries: the state has its form.
#[test]
fn a_repaired_key_never_goes_back_to_an_earlier_version_after_a_restart() {
    for (lane_max, restarts) in [(64, 1), (64, 2), (2, 1), (2, 2)] {
        let mut world = World::new(Limits { open_max: 1, lane_max, ..Limits::default() });
        world.deploy("a", RETRY);
        let one = world.publish(1, "x");
        world.deploy_to_finish("a", RETRY);
        world.pause("a", true);
        let rest: Vec<_> = (2..12).map(|id| world.publish(id, "x")).collect();
        assert!(world.handler("a").scanned < rest[1]);
        world.answer(Ok(()));
        assert_eq!(versions(&world, one), [1]);
        let version = world.handler("a").version;
        world.stage(Record::Repaired(Box::new(repaired("a", "x", version))));
        world.limits.open_max = 64;
        for _ in 0..restarts {
            world.restart(true);
            world.keep_view();
        }
        world.pause("a", false);
        while !world.calls.is_empty() || world.wake_at_ms().is_some() {
            world.wait(1_000);
            if !world.calls.is_empty() {
                world.answer(Ok(()));
            }
        }
        assert_eq!(world.handler("a").open, 0);
        for position in rest {
            assert_eq!(versions(&world, position), [2], "{position}, {lane_max}");
        }
    }
}

/// A dead letter runs again while events of its key from before the fence are not scanned yet: they are under way, too.
#[test]
fn a_dead_letter_runs_again_under_no_later_version_than_what_is_not_scanned() {
    for (lags, restarts) in [false, true].into_iter().flat_map(|lags| (0..3).map(move |restarts| (lags, restarts))) {
        let mut world = World::with(r#","concurrency":1"#);
        let dead = [1, 2].map(|id| {
            let position = world.publish(id, "x");
            world.answer(Err(&permanent()));
            position
        });
        world.set_mode("a", Mode::Draining);
        let old = world.publish(3, "x");
        assert!(world.handler("a").scanned < old);
        world.deploy_to_finish("a", r#","concurrency":1"#);
        world.keep_view();
        if !lags {
            world.set_mode("a", Mode::Running);
            world.answer_at(old, Ok(()));
        }
        world.retry(&delivery("a", dead[0]), "x");
        world.answer(Ok(()));
        for _ in 0..restarts {
            world.restart(true);
            world.keep_view();
        }
        world.retry(&delivery("a", dead[1]), "x");
        world.set_mode("a", Mode::Running);
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
        let version = if lags { 1 } else { 2 };
        let found = [dead[0], dead[1], old].map(|position| versions(&world, position).last().copied());
        assert_eq!(found, [Some(version), Some(version), Some(1)], "{lags} {restarts}");
    }
}

/// In the replay of the log, a handler that lags hears of an attempt when it has opened others of the key, and not yet that delivery.
#[test]
fn a_key_stays_at_the_version_of_an_attempt_that_is_known_before_its_delivery() {
    let numbers = |world: &mut World, id, number| world.publish_numbered(id, "x", number);
    for lane_max in [64, 1] {
        let mut world = World::with(SEQUENCE);
        let one = numbers(&mut world, 1, 1);
        world.deploy_to_finish("a", SEQUENCE);
        let waits = numbers(&mut world, 2, 5);
        for id in 100..120 {
            world.publish_as(id, "z", "not.taken");
        }
        let two = world.publish(3, "x");
        world.answer(Ok(()));
        world.answer_at(two, Err(&transient()));
        assert_eq!((versions(&world, one), versions(&world, two)), (vec![1], vec![1]));
        world.limits = Limits { open_max: 1, waiting_max: 0, lane_max, ..Limits::default() };
        world.restart(false);
        let three = numbers(&mut world, 4, 6);
        while !world.calls.is_empty() || world.wake_at_ms().is_some() {
            world.wait(TIMEOUT_MS);
            if !world.calls.is_empty() {
                world.answer(Ok(()));
            }
        }
        let all = [one, two, waits, three].map(|position| versions(&world, position));
        assert_eq!(all, [vec![1], vec![1, 1], vec![1], vec![1]], "{lane_max}");
    }
}
