//! Random histories with crashes at random moments: whatever happens, no event is lost, none is completed twice, and the
//! events of a key are completed in order.

mod world;

use std::collections::BTreeMap;

use weirgate_core::{Entropy, Limits};
use weirgate_types::{Outcome, Position, Record};
use world::{World, name, transient};

const HANDLERS: [&str; 2] = ["a", "b"];

fn chance(entropy: &mut Entropy, one_in: u64) -> bool {
    entropy.draw().is_multiple_of(one_in)
}

fn run(seed: u64) {
    let mut entropy = Entropy::seeded(seed);
    let mut world = World::new(Limits { active_max: 5, open_max: 12 });
    for handler in HANDLERS {
        world.deploy(
            handler,
            r#","concurrency":3,"retry":{"attempts_max":1000,"first_delay_ms":50,"delay_ms_max":200}"#,
        );
    }
    let mut published = Vec::new();
    for id in 0..120 {
        let key = format!("key-{}", entropy.draw() % 6);
        published.push((world.publish(id, &key), key));
        step(&mut world, &mut entropy);
    }
    heal(&mut world, seed);
    check(&world, &published, seed);
}

fn step(world: &mut World, entropy: &mut Entropy) {
    for _ in 0..entropy.draw() % 4 {
        if !world.calls.is_empty() {
            let index = usize::try_from(entropy.draw()).unwrap_or(0) % world.calls.len();
            world.calls.swap(0, index);
            let failure = chance(entropy, 4).then(transient);
            world.answer(failure.as_ref().map_or(Ok(()), Err));
        }
    }
    world.wait(entropy.draw() % 40);
    if chance(entropy, 9) {
        let handler = if chance(entropy, 2) { HANDLERS[0] } else { HANDLERS[1] };
        let paused = world.machine.handler(&name(handler)).expect("deployed").paused;
        world.pause(handler, !paused);
    }
    if chance(entropy, 15) {
        let with_view = chance(entropy, 2);
        world.restart(with_view);
    }
}

/// Nothing fails any more: everything must come to its end.
fn heal(world: &mut World, seed: u64) {
    for handler in HANDLERS {
        world.pause(handler, false);
    }
    for _ in 0..10_000 {
        world.wait(200);
        while !world.calls.is_empty() {
            world.answer(Ok(()));
        }
        if HANDLERS
            .iter()
            .all(|handler| world.machine.handler(&name(handler)).expect("deployed").checkpoint == world.head())
        {
            return;
        }
    }
    panic!("seed {seed}: work is left at {}", world.head());
}

fn check(world: &World, published: &[(Position, String)], seed: u64) {
    let keys: BTreeMap<_, _> = published.iter().map(|(position, key)| (*position, key.as_str())).collect();
    for handler in HANDLERS {
        let completed = world.log.iter().filter_map(|(_, record)| match record {
            Record::Committed(commit) if commit.outcome == Outcome::Completed && commit.handler.as_str() == handler => {
                Some(commit.event)
            }
            _ => None,
        });
        let mut by_key = BTreeMap::<&str, Vec<Position>>::new();
        for position in completed {
            by_key.entry(keys.get(&position).expect("a published event")).or_default().push(position);
        }
        let mut expected = BTreeMap::<&str, Vec<Position>>::new();
        for (position, key) in published {
            expected.entry(key).or_default().push(*position);
        }
        assert_eq!(by_key, expected, "seed {seed}, handler {handler}");
    }
    assert!(world.rows.is_empty(), "seed {seed}: rows are left: {:?}", world.rows);
}

#[test]
fn random_histories_keep_the_promises() {
    for seed in 0..2_000 {
        run(seed);
    }
}

/// Paste a failing seed here to look at it alone.
#[test]
fn one_history() {
    run(1);
}
