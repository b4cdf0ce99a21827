//! Random histories of numbered events: in whatever order they come and whenever the runtime stops, each is delivered once
//! and in order, unless a gap was passed.

mod world;

use std::collections::BTreeSet;

use weirgate_core::{Entropy, Limits};
use weirgate_types::Outcome;
use world::{
    World,
    resequence::{SEQUENCE, gaps_by_key, number, run},
    transient,
};

/// Numbers of several keys in disorder, with failures and crashes, and little memory. One in `missing` never comes.
fn random_history(seed: u64, timeout_ms: u64, missing: usize) {
    const KEYS: usize = 3;
    let mut entropy = Entropy::seeded(seed);
    let mut below = |most: usize| usize::try_from(entropy.draw() % most as u64).expect("small");
    let mut world = World::new(Limits { active_max: 4, open_max: 12, waiting_max: 3, ..Limits::default() });
    world.deploy("a", &SEQUENCE.replace("1000", &timeout_ms.to_string()));
    let mut events: Vec<_> = (0..60).map(|index| (index % KEYS, (index / KEYS + 1) as u64)).collect();
    for index in 0..events.len() {
        // Mostly displaced by little.
        let far = if below(8) == 0 { 40 } else { 6 };
        events.swap(index, (index + below(far)).min(59));
    }
    events.retain(|_| missing == 0 || below(missing) > 0);
    for (id, (key, number)) in (0..).zip(&events) {
        world.publish_numbered(id, &format!("key-{key}"), *number);
        for _ in 0..below(3) {
            if !world.calls.is_empty() {
                let index = below(world.calls.len());
                world.calls.swap(0, index);
                let failure = transient();
                world.answer(if below(4) == 0 { Err(&failure) } else { Ok(()) });
            }
        }
        world.wait(below(30) as u64);
        if below(5) == 0 {
            world.keep_view();
        }
        if below(10) == 0 {
            world.restart(below(2) == 0);
        }
    }
    for _ in 0..2_000 {
        world.wait(timeout_ms.min(100));
        run(&mut world);
        if world.handler("a").open == 0 && world.handler("a").checkpoint == world.head() {
            return check_history(&mut world, &events, seed);
        }
    }
    panic!("seed {seed}: work is left: {:#?}", world.machine);
}

fn check_history(world: &mut World, events: &[(usize, u64)], seed: u64) {
    let completed = world.log.iter().flat_map(|(_, record)| record.commits());
    let completed = completed.filter(|commit| commit.outcome == Outcome::Completed);
    let completed: Vec<_> = completed.map(|commit| (commit.key.clone(), number(world, commit.event))).collect();
    let mut sorted = completed.clone();
    sorted.sort();
    let mut wanted: Vec<_> = events.iter().map(|(key, number)| (format!("key-{key}"), *number)).collect();
    wanted.sort();
    assert_eq!(sorted, wanted, "seed {seed}: each once");
    for key in 0..3 {
        let numbers = completed.iter().filter(|(of, _)| *of == format!("key-{key}")).map(|(_, number)| *number);
        let numbers: Vec<_> = numbers.collect();
        let of_key = gaps_by_key(world).filter(|(of, ..)| *of == format!("key-{key}"));
        let passed: BTreeSet<_> = of_key.flat_map(|(_, expected, found)| expected..found).collect();
        let in_time: Vec<_> = numbers.iter().copied().filter(|number| !passed.contains(number)).collect();
        assert!(in_time.is_sorted(), "seed {seed}: {in_time:?}, passed {passed:?}");
        // Every missing number was reported, except at the end.
        let last = numbers.iter().copied().max().unwrap_or(0);
        assert!((1..last).all(|number| numbers.contains(&number) || passed.contains(&number)), "seed {seed}");
    }
    assert!(world.rows.is_empty(), "seed {seed}: rows are left: {:?}", world.rows);
    let next = world.next.clone();
    world.restart(false);
    assert_eq!(world.next, next, "seed {seed}: the log alone leads to the same");
}

#[test]
fn random_disorder_is_resequenced() {
    for seed in 0..500 {
        random_history(seed, 1_000_000, 0);
    }
}

#[test]
fn random_gaps_are_passed_and_nothing_else() {
    for seed in 0..500 {
        random_history(seed, 100, 8);
    }
}

/// Paste a failing seed here to run it alone.
#[test]
fn one_history() {
    random_history(1, 100, 8);
}
