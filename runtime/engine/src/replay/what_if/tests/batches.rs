//! What-ifs of versions that take several deliveries per call.

use std::borrow::Cow;

use weirgate_host::Call;
use weirgate_types::{AttemptFailure, Commit, DeliveryId, Deployed, FailureKind, Manifest, Outcome};

use super::*;
use crate::replay::execute::{ItemInput, Services};

/// A version that appends to a list; what it appends depends on the list.
fn listing(mark: &'static str) -> Handler {
    Arc::new(move |item, state| {
        let mut list = state.get("list").expect("the state").unwrap_or_default();
        let length = list.len();
        list.extend_from_slice(&item.event.data);
        list.extend_from_slice(format!("{mark}{};", length % 7).as_bytes());
        let state = vec![StateWrite { name: "list".into(), value: Some(list) }];
        Effects { state, ..Effects::default() }
    })
}

/// A handler of these types, which takes several deliveries per call or one.
fn taking(types: &str, is_batch: bool) -> String {
    let batch = if is_batch { r#","batch":{"events_max":16}"# } else { "" };
    format!(r#"{{"name":"{TOTALS}","subscriptions":[{{"types":[{types}]}}]{batch}}}"#)
}

/// The deliveries of all keys have one order.
fn in_line(manifest: &str) -> String {
    manifest.replacen('{', r#"{"ordering":"handler","#, 1)
}

fn asking(types: &str, is_batch: bool, selection: Selection) -> WhatIf {
    asking_as(taking(types, is_batch), selection)
}

fn asking_as(manifest: String, selection: Selection) -> WhatIf {
    let candidate = Candidate { module: CANDIDATE, manifest, version: None };
    WhatIf { runs: Runs::Candidate(candidate), selection, ..request() }
}

/// A world whose handler takes these types in batches.
fn world(types: &str, code: &Handler) -> World {
    world_of(taking(types, true), code)
}

fn world_of(manifest: String, code: &Handler) -> World {
    let mut world = World::without_reports(Arc::clone(code));
    let position = deploy(&mut world, TOTALS, manifest);
    world.versions.insert(name(TOTALS), (position, Arc::clone(code)));
    world
}

fn deploy(world: &mut World, handler: &str, manifest: String) -> Position {
    Manifest::from_record(&manifest).expect("a manifest");
    world.stage(&Record::Deployed(Deployed {
        handler: name(handler),
        digest: Digest([0; 32]),
        manifest,
        actor: String::new(),
        reason: String::new(),
        copied_from: None,
        finishing: Vec::new(),
        at_ms: 0,
        wall_ms: 0,
    }))
}

/// A delivery of a version, which was completed at an attempt.
fn commit(
    handler: &str,
    (position, event): (Position, &Event),
    (version, attempt): (Position, u32),
    effects: Effects,
) -> Commit {
    Commit {
        handler: name(handler),
        event: position,
        key: event.key().to_owned(),
        attempt,
        version,
        digest: Digest([0; 32]),
        at_ms: 0,
        outcome: Outcome::Completed,
        depth: 1,
        effects,
        log: Vec::new(),
        state_version: 1,
        migrated_from: None,
        cpu_us: 0,
        reproducible: true,
        reads: Vec::new(),
    }
}

/// Accepts events, and delivers those of the types in calls of some deliveries each. Some attempts fail; then the later ones of their keys in
/// the call do not count.
fn accept(world: &mut World, types: &[&str], events: &[(String, &str, u64)], chance: &mut Chance) {
    let mut open = Vec::new();
    for (id, (key, r#type, n)) in events.iter().enumerate() {
        let event = event(id.to_string(), "/numbers", r#type, key, *n);
        let position = world.stage(&Record::Accepted { event: event.clone(), to: None, at_ms: 0 });
        if types.contains(r#type) {
            open.push((position, event, 1));
        }
    }
    while !open.is_empty() {
        let count = 1 + chance.index(open.len().min(5));
        let call: Vec<_> = open.drain(..count).collect();
        let first = call[0].0;
        let (version, code) = world.versions[&name(TOTALS)].clone();
        for (position, _, attempt) in &call {
            let delivery = DeliveryId { handler: name(TOTALS), position: *position };
            let (attempt, call) = (*attempt, first);
            world.stage(&Record::Attempted { delivery, attempt, version, call, at_ms: 0, wall_behind_ms: 0 });
        }
        let (mut commits, mut failed, mut again) = (Vec::new(), BTreeSet::new(), Vec::new());
        for (position, event, attempt) in call {
            let key = event.key().to_owned();
            let (delivery, lane) = (DeliveryId { handler: name(TOTALS), position }, (name(TOTALS), key.clone()));
            if attempt == 1 && chance.below(8) == 0 {
                failed.insert(key.clone());
            }
            let (outcome, effects) = match failed.contains(&key) {
                true => {
                    again.push((position, event.clone(), attempt + 1));
                    let failure = AttemptFailure::found(FailureKind::Trap, "no".to_owned());
                    let (delay_ms, due_ms, stage, spent, previous) = (1, 1, 0, true, None);
                    (Outcome::Retry { delay_ms, due_ms, stage, spent, previous, failure }, Effects::default())
                }
                false => {
                    let event = Cow::Borrowed(&event);
                    let item = ItemInput { delivery, attempt, event, depth: 0, migrate_from: None };
                    (Outcome::Completed, code(&item, &world.state_of(&lane)))
                }
            };
            world.keep(&lane, &effects);
            commits.push(Commit { outcome, ..commit(TOTALS, (position, &event), (version, attempt), effects) });
        }
        world.stage(&Record::Batched(commits));
        again.extend(open);
        open = again;
    }
}

fn events(chance: &mut Chance) -> Vec<(String, &'static str, u64)> {
    let (count, keys) = (1 + chance.below(14), 1 + chance.below(3));
    let event = |chance: &mut Chance| {
        (format!("k{}", chance.below(keys)), if chance.below(3) == 0 { "other" } else { "number" }, chance.below(60))
    };
    (0..count).map(|_| event(chance)).collect()
}

/// The lists of all keys, where each event is handled by what this returns.
fn lists(
    events: &[(String, &'static str, u64)],
    by: impl Fn(&str) -> Option<Handler>,
) -> BTreeMap<LaneId, BTreeMap<String, Vec<u8>>> {
    let mut world = World::without_reports(listing(""));
    for (id, (key, r#type, n)) in events.iter().enumerate() {
        let (Some(code), lane) = (by(r#type), (name(TOTALS), key.clone())) else { continue };
        let event = event(id.to_string(), "/numbers", r#type, key, *n);
        let delivery = DeliveryId { handler: name(TOTALS), position: Position(1) };
        let item = ItemInput { delivery, attempt: 1, event: Cow::Borrowed(&event), depth: 0, migrate_from: None };
        let effects = code(&item, &world.state_of(&lane));
        world.keep(&lane, &effects);
    }
    world.states
}

/// Whether the batch was cut into parts or not, each key's events come in the order of their positions.
#[test]
fn an_event_that_only_the_candidate_takes_comes_between_the_deliveries_of_a_batch() {
    for seed in 0..400_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let events = events(&mut chance);
        let (old, new) = (listing("a"), listing("b"));
        let order = |manifest: String| if seed % 4 < 2 { manifest } else { in_line(&manifest) };
        let mut lived = world_of(order(taking(r#""number""#, true)), &old);
        accept(&mut lived, &["number"], &events, &mut chance);
        let request = asking_as(order(taking(r#""number","other""#, seed % 2 == 0)), Selection::default());
        let examined = lived.examine_as(&request, &new, None);
        let wanted = lists(&events, |_| Some(Arc::clone(&new)));
        assert_eq!(with_differences(&lived, &examined), wanted, "seed {seed}: {events:?}");
    }
}

/// Deliveries that are not selected are executed again by the version that handled them, with the state that the candidate has left.
#[test]
fn a_batch_of_which_some_deliveries_are_selected_comes_to_what_they_come_to_one_by_one() {
    for seed in 0..400_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let events = events(&mut chance);
        let (old, new) = (listing("a"), listing("b"));
        let types = r#""number","other""#;
        let mut lived = world(types, &old);
        accept(&mut lived, &["number", "other"], &events, &mut chance);
        let request = asking(types, seed % 2 == 0, Selection { types: vec!["other".into()], ..Selection::default() });
        let examined = lived.examine_as(&request, &new, None);
        let wanted = lists(&events, |r#type| Some(Arc::clone(if r#type == "other" { &new } else { &old })));
        assert_eq!(with_differences(&lived, &examined), wanted, "seed {seed}: {events:?}");
    }
}

/// The candidate does not take a type any more: what it does not get leaves nothing.
#[test]
fn deliveries_of_a_batch_that_the_candidate_does_not_take_leave_nothing() {
    for seed in 0..400_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let events = events(&mut chance);
        let (old, new) = (listing("a"), listing("b"));
        let mut lived = world(r#""number","other""#, &old);
        accept(&mut lived, &["number", "other"], &events, &mut chance);
        let request = asking(r#""number""#, seed % 2 == 0, Selection::default());
        let examined = lived.examine_as(&request, &new, None);
        let wanted = lists(&events, |r#type| (r#type == "number").then(|| Arc::clone(&new)));
        assert_eq!(with_differences(&lived, &examined), wanted, "seed {seed}: {events:?}");
    }
}

/// Each delivery shows the sum of the call up to there.
fn sums(numbers: &[u64]) -> Vec<Effects> {
    let mut sum = 0;
    let effects = numbers.iter().map(|n| {
        sum += n;
        let state = vec![StateWrite { name: "sum".into(), value: Some(sum.to_string().into_bytes()) }];
        Effects { state, ..Effects::default() }
    });
    effects.collect()
}

fn number(event: &Event) -> u64 {
    String::from_utf8_lossy(&event.data).parse().expect("a number")
}

/// What another delivery of the call comes to may depend on the event that is another one.
#[test]
fn a_batch_of_a_receiver_is_handled_again_as_a_whole() {
    for seed in 0..200_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let numbers: Vec<u64> = (0..2 + chance.below(4)).map(|n| n * 10 + chance.below(9)).collect();
        let wrong = numbers[chance.index(numbers.len())];
        let gives = |wrong: Option<u64>| -> Handler {
            Arc::new(move |item, _| {
                let (n, id) = (number(&item.event), format!("{}/1", item.delivery.position));
                let n = if wrong == Some(n) { 1_000 } else { n };
                Effects {
                    emitted: vec![event(id, "/handlers/totals", "total", item.event.key(), n)],
                    ..Effects::default()
                }
            })
        };
        let mut lived = World::without_reports(gives(Some(wrong)));
        let function = |calls: &[Call<'_>], _: &[Services]| {
            let numbers: Vec<u64> = calls.iter().map(|call| number(call.event)).collect();
            sums(&numbers).into_iter().map(Ok).collect()
        };
        let manifest = taking(r#""total""#, true).replace(TOTALS, REPORTS);
        let version = deploy(&mut lived, REPORTS, manifest);
        lived.of_calls.insert(name(REPORTS), Arc::new(function));
        let mut open = Vec::new();
        for (id, n) in numbers.iter().enumerate() {
            lived.accept(id, &format!("k{id}"), *n);
            let reader = lived.log.reader();
            let emitted = reader.scan(Position::ZERO).map(|read| read.expect("a record")).last().expect("a record");
            let emitted: Vec<_> = emitted.1.events(emitted.0).map(|(at, event)| (at, event.clone())).collect();
            open.extend(emitted);
        }
        let effects = sums(&open.iter().map(|(_, event)| number(event)).collect::<Vec<_>>());
        let call = open[0].0;
        for (position, _) in &open {
            let delivery = DeliveryId { handler: name(REPORTS), position: *position };
            let attempted = Record::Attempted { delivery, attempt: 1, version, call, at_ms: 0, wall_behind_ms: 0 };
            lived.stage(&attempted);
        }
        let items = open.iter().zip(effects);
        let commits: Vec<Commit> =
            items.map(|((at, event), effects)| commit(REPORTS, (*at, event), (version, 1), effects)).collect();
        for one in &commits {
            lived.keep(&(name(REPORTS), one.key.clone()), &one.effects);
        }
        lived.stage(&Record::Batched(commits));
        let differing = (0..numbers.len()).map(|n| (name(TOTALS), format!("k{n}"))).collect();
        let found = lived.examine_as(&request(), &gives(None), Some(&differing));
        let mut wanted = BTreeMap::new();
        for (n, effects) in sums(&numbers).into_iter().enumerate() {
            let value = effects.state[0].value.clone().expect("a value");
            wanted.insert((name(REPORTS), format!("k{n}")), BTreeMap::from([("sum".to_owned(), value)]));
        }
        assert_eq!(with_differences(&lived, &found), wanted, "seed {seed}: {numbers:?}, {wrong} is wrong");
    }
}
