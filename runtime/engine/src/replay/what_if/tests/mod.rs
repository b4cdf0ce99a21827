//! What-ifs against a model: small worlds in which handlers are functions are lived through twice, once with the old version and once
//! with the candidate. What a what-if over the first world's log finds has to be the second world; with its plan appended, another what-if
//! finds nothing.

mod batches;
mod folds;
mod functions;
mod kept;
mod lived;
mod owners;
mod removed;
mod repairs;
mod stands;
mod work;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_types::{Digest, Effects, Event, Position, Record, Repaired, ReplayRequested, StateWrite};

use super::*;
use functions::{CANDIDATE, Handler};
use stands::Now;
use world::{ALL, Chance, REPORTS, TOTALS, World, event, manifest, name, reports, totals};

fn request() -> WhatIf {
    let candidate = Candidate { module: CANDIDATE, manifest: manifest(TOTALS, "number"), version: None };
    WhatIf {
        handler: name(TOTALS),
        runs: Runs::Candidate(candidate),
        selection: Selection::default(),
        missing_answers: MissingAnswers::Fail,
        bounds: Bounds::default(),
        through: ALL,
        asked_at_ms: 0,
    }
}

/// The undo of a replay.
fn undoing(replay: Position) -> WhatIf {
    WhatIf { runs: Runs::Without(replay), ..request() }
}

/// The numbers of a random world, each with its key.
fn numbers(seed: u64) -> Vec<(String, u64)> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let count = 1 + chance.below(40);
    let keys = 1 + chance.below(4);
    (0..count).map(|_| (format!("k{}", chance.below(keys)), chance.below(60))).collect()
}

fn live(handler: Handler, numbers: &[(String, u64)]) -> World {
    let mut world = World::new(handler);
    numbers.iter().enumerate().for_each(|(id, (key, n))| world.accept(id, key, *n));
    world
}

/// The state of a world with the differences of a fork.
fn with_differences(
    world: &World,
    examined: &BTreeMap<LaneId, Examined>,
) -> BTreeMap<LaneId, BTreeMap<String, Vec<u8>>> {
    let mut states = world.states.clone();
    for (lane, examined) in examined {
        let state = states.entry(lane.clone()).or_default();
        for (name, value) in examined.lane.state() {
            match value {
                Some(value) => drop(state.insert(name.clone(), value.clone())),
                None => drop(state.remove(name)),
            }
        }
    }
    states.retain(|_, state| !state.is_empty());
    states
}

#[test]
fn a_cascading_what_if_finds_the_world_of_the_candidate() {
    for seed in 0..300 {
        let numbers = numbers(seed);
        let (old, new) = (totals(5), totals(0));
        let (lived, other) = (live(old, &numbers), live(Arc::clone(&new), &numbers));
        let alone = lived.examine(&new, None);
        let differing = alone.keys().cloned().collect();
        let examined = lived.examine(&new, Some(&differing));
        let mut wanted = other.states.clone();
        wanted.retain(|_, state| !state.is_empty());
        assert_eq!(with_differences(&lived, &examined), wanted, "seed {seed}: {numbers:?}");
        for (lane, emitted) in &other.emitted {
            let mut found = lived.emitted.get(lane).cloned().unwrap_or_default();
            let Some(Examined { lane: differs, .. }) = examined.get(lane) else {
                assert_eq!(found, *emitted, "seed {seed}, {lane:?}");
                continue;
            };
            for gone in differs.emissions().only_recorded() {
                let content = emissions::content(&gone.event);
                let index = found.iter().position(|one| *one == content).expect("it was emitted");
                found.remove(index);
            }
            found.extend(differs.emissions().only_fork().iter().map(|one| emissions::content(&one.event)));
            found.sort_unstable();
            assert_eq!(found, *emitted, "seed {seed}, {lane:?}");
        }
    }
}

#[test]
fn the_same_version_differs_nowhere() {
    (0..100).for_each(|seed| {
        assert_eq!(live(totals(5), &numbers(seed)).examine(&totals(5), None), BTreeMap::new(), "seed {seed}");
    });
}

/// A replay of the first handler is asked for.
fn asked(lived: &mut World) -> Position {
    asked_as(lived, &request())
}

fn asked_as(lived: &mut World, request: &WhatIf) -> Position {
    let requested = ReplayRequested {
        handler: name(TOTALS),
        request: serde_json::to_string(request).expect("JSON"),
        actor: String::new(),
        reason: String::new(),
        at_ms: 0,
    };
    lived.stage(&Record::ReplayRequested(requested))
}

/// Appends what a plan says. Returns its record's position, and the appended events.
fn append(
    lived: &mut World,
    replay: Position,
    (lane, examined): (&LaneId, &Examined),
    plan: KeyPlan,
) -> (Position, Vec<Event>) {
    append_as(lived, replay, (lane, examined), plan, |_| ())
}

fn append_as(
    lived: &mut World,
    replay: Position,
    (lane, examined): (&LaneId, &Examined),
    plan: KeyPlan,
    change: impl FnOnce(&mut Repaired),
) -> (Position, Vec<Event>) {
    let effects = Effects {
        state: plan.state,
        status: plan.status,
        emitted: plan
            .emitted
            .into_iter()
            .map(|planned| {
                let mut event = planned.event;
                event.extensions.insert("replayid".into(), replay.to_string().into());
                event
            })
            .collect(),
        ..Effects::default()
    };
    let mut repaired = Repaired {
        replay,
        handler: lane.0.clone(),
        key: lane.1.clone(),
        part: 0,
        version: Position(1),
        from: examined.notes.from,
        through: lived.log.head(),
        depth: 1,
        state_version: 1,
        effects: effects.clone(),
        unset: plan.unset.clone(),
        corrected: None,
        is_undo: false,
        actor: String::new(),
        reason: String::new(),
        at_ms: 0,
    };
    change(&mut repaired);
    let at = lived.stage(&Record::Repaired(Box::new(repaired)));
    for subject in &plan.unset {
        lived.statuses.remove(&(lane.0.clone(), subject.clone()));
    }
    lived.keep(lane, &effects);
    (at, effects.emitted)
}

/// The plan of a key, if it is the only one that is repaired.
fn planned(lived: &World, examined: (&LaneId, &Examined)) -> KeyPlan {
    planned_among(lived, examined, &Parts::default())
}

fn planned_among(lived: &World, (lane, examined): (&LaneId, &Examined), parts: &Parts<'_>) -> KeyPlan {
    let stands = Now { world: lived, handler: &lane.0, parts };
    let plan = KeyPlan::new(&lane.1, examined, 0, &stands).expect("a plan");
    assert_eq!(plan.digest(), KeyPlan::new(&lane.1, examined, 0, &stands).expect("a plan").digest());
    plan
}

/// The parts that keys of the first handler write, where some of them are repaired.
fn parts(examined: &BTreeMap<LaneId, Examined>, through: Position, is_repaired: impl Fn(&str) -> bool) -> Parts<'_> {
    parts_as(examined, through, |key| if is_repaired(key) { KeyIsRepaired::Now } else { KeyIsRepaired::No })
}

fn parts_as(
    examined: &BTreeMap<LaneId, Examined>,
    through: Position,
    is_repaired: impl Fn(&str) -> KeyIsRepaired,
) -> Parts<'_> {
    parts_of(TOTALS, examined, through, is_repaired)
}

fn parts_of<'a>(
    handler: &str,
    examined: &'a BTreeMap<LaneId, Examined>,
    through: Position,
    is_repaired: impl Fn(&str) -> KeyIsRepaired,
) -> Parts<'a> {
    let own = examined.iter().filter(|((of, _), _)| of.as_str() == handler);
    let statuses = own.flat_map(|((_, key), one)| {
        [one.lane.status(), one.lane.moved()].map(|status| KeyStatuses {
            key,
            status,
            repaired: is_repaired(key),
            through,
        })
    });
    Parts::new(statuses, through)
}

/// The state of some handlers, without empty ones.
fn states_of(world: &World, handlers: &[&str]) -> BTreeMap<LaneId, BTreeMap<String, Vec<u8>>> {
    let mut states = world.states.clone();
    states.retain(|(handler, _), state| handlers.contains(&handler.as_str()) && !state.is_empty());
    states
}

#[test]
fn with_the_plan_appended_nothing_is_left_but_what_the_plan_listed() {
    for seed in 0..300 {
        let (new, numbers) = (totals(0), numbers(seed));
        let mut lived = live(totals(5), &numbers);
        let replay = asked(&mut lived);
        let (mut listed, alone, through) = (BTreeMap::new(), lived.examine(&new, None), lived.log.head());
        let parts = parts(&alone, through, |_| true).repaired_by(replay, false);
        for (lane, examined) in &alone {
            let plan = planned_among(&lived, (lane, examined), &parts);
            listed.insert(lane.1.clone(), plan.stays.iter().map(|stays| stays.at).collect::<Vec<_>>());
            append(&mut lived, replay, (lane, examined), plan);
        }
        let other = live(Arc::clone(&new), &numbers);
        assert_eq!(states_of(&lived, &[TOTALS]), states_of(&other, &[TOTALS]), "seed {seed}: {numbers:?}");
        assert_eq!(lived.statuses, other.statuses, "seed {seed}: {numbers:?}");
        let (alone, through) = (lived.examine(&new, None), lived.log.head());
        let again = self::parts(&alone, through, |_| true);
        for (lane, examined) in &alone {
            let plan = planned_among(&lived, (lane, examined), &again);
            assert!(plan.is_empty(), "seed {seed}: {plan:?}");
            let stays: Vec<_> = plan.stays.iter().map(|stays| stays.at).collect();
            assert_eq!(Some(&stays), listed.get(&lane.1), "seed {seed}");
        }
    }
}

/// Events that only the candidate takes wait for what is open before them: a key has an order.
#[test]
fn an_event_that_only_the_candidate_takes_is_delivered_in_its_place() {
    let last: Handler = Arc::new(|item, _| {
        let state = vec![StateWrite { name: "last".into(), value: Some(item.event.data.clone()) }];
        Effects { state, ..Effects::default() }
    });
    let manifest = manifest(TOTALS, r#"number","other"#);
    let candidate = Candidate { module: Digest([0; 32]), manifest, version: None };
    let request = WhatIf { runs: Runs::Candidate(candidate), ..request() };
    for (numbers, stands) in [
        (&[("number", 1), ("other", 2)][..], Some("2")),
        (&[("other", 2), ("number", 1)], None),
        (&[("number", 1), ("other", 2), ("number", 3)], None),
        (&[("number", 1), ("number", 3), ("other", 2), ("other", 4)], Some("4")),
    ] {
        let mut lived = World::new(Arc::clone(&last));
        lived.accept_together("k", numbers);
        let examined = lived.examine_as(&request, &last, None);
        let state = examined.get(&(name(TOTALS), "k".to_owned())).map(|examined| examined.lane.state().clone());
        let value = state
            .unwrap_or_default()
            .remove("last")
            .flatten()
            .map(|value| String::from_utf8_lossy(&value).into_owned());
        assert_eq!(value.as_deref(), stands, "{numbers:?}");
    }
}

/// What that emits comes to its receivers in its place, too.
#[test]
fn an_event_that_only_the_fork_emits_is_delivered_behind_what_is_open_before_it() {
    let echo: Handler = Arc::new(|item, _| {
        let n = String::from_utf8_lossy(&item.event.data).parse().expect("a number");
        let id = format!("{}/1", item.delivery.position);
        Effects { emitted: vec![event(id, "/handlers/totals", "total", item.event.key(), n)], ..Effects::default() }
    });
    let listing: Handler = Arc::new(|item, state| {
        let mut list = state.get("list").expect("the state").unwrap_or_default();
        list.extend_from_slice(&item.event.data);
        let state = vec![StateWrite { name: "list".into(), value: Some(list) }];
        Effects { state, ..Effects::default() }
    });
    let manifest = manifest(TOTALS, r#"number","other"#);
    let candidate = Candidate { module: Digest([0; 32]), manifest, version: None };
    let request = WhatIf { runs: Runs::Candidate(candidate), ..request() };
    let of = |handler: &str| (name(handler), "k".to_owned());
    for (numbers, list) in [
        (&[("number", 1), ("other", 2), ("number", 3)][..], "123"),
        (&[("other", 1), ("number", 2), ("number", 3), ("other", 4)], "1234"),
        (&[("number", 1), ("number", 2), ("other", 3), ("other", 4), ("number", 5)], "12345"),
    ] {
        let mut lived = World::without_reports(Arc::clone(&echo));
        lived.deploy(REPORTS, "total", Arc::clone(&listing));
        lived.accept_together("k", numbers);
        let found = lived.examine_as(&request, &echo, Some(&BTreeSet::from([of(TOTALS)])));
        let report = found.get(&of(REPORTS)).and_then(|examined| examined.lane.state().get("list").cloned().flatten());
        assert_eq!(report.as_deref(), Some(list.as_bytes()), "{numbers:?}");
    }
}
