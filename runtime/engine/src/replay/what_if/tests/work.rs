//! How much work what-ifs take, counted.

use weirgate_types::{StateWrite, StatusWrite, TimerWrite};

use super::{
    world::{Everything, event},
    *,
};
use crate::replay::what_if::held::tests::COPIED;

const DELIVERIES: u64 = 300;

/// One key, with a number for each delivery.
fn of_one_key() -> Vec<(String, u64)> {
    (0..DELIVERIES).map(|n| ("k".to_owned(), n)).collect()
}

fn number(item: &crate::replay::execute::ItemInput<'_>) -> u64 {
    String::from_utf8_lossy(&item.event.data).parse().expect("a number")
}

fn sets_statuses() -> Vec<StatusWrite> {
    let status =
        |subject: &str| StatusWrite { subject: subject.into(), state: "set".into(), text: String::new(), data: None };
    ["k", "of/k"].map(status).into()
}

/// A candidate that writes again and again what stands, though the old version did not, leaves nothing to remember.
#[test]
fn the_records_of_a_key_are_read_a_few_times_however_many_there_are() {
    let first = |n| if n == 0 { sets_statuses() } else { Vec::new() };
    let old: Handler = Arc::new(move |item, _| Effects { status: first(number(item)), ..Effects::default() });
    let cancels = |n: u64| vec![TimerWrite { name: format!("timer/{n}"), set: None }];
    let new: Handler = Arc::new(move |item, _| Effects {
        status: sets_statuses(),
        timers: cancels(number(item)),
        ..Effects::default()
    });
    let lived = live(old, &of_one_key());
    let before = lived.storage.operations();
    let examined = lived.examine(&new, None);
    let reads = lived.storage.operations() - before;
    assert!(!examined.values().any(|examined| examined.lane.differs()), "all stands: {examined:?}");
    assert!(reads < 10 * DELIVERIES, "{reads} reads");
}

/// Events have positions of their own, and are in the record of what emitted them.
#[test]
fn a_record_with_many_events_is_read_once() {
    const EVENTS: u64 = 500;
    let old: Handler = Arc::new(|_, _| {
        let emitted = (0..EVENTS).map(|n| event(n.to_string(), "/handlers/totals", "total", "k", n)).collect();
        Effects { emitted, ..Effects::default() }
    });
    let new: Handler = Arc::new(|_, _| Effects::default());
    let mut lived = World::without_reports(old);
    lived.accept(1, "k", 7);
    let sources = lived.sources(Some(&new));
    let request = WhatIf { through: lived.log.head(), ..request() };
    let before = lived.storage.operations();
    let lane = (name(TOTALS), "k".to_owned());
    let folding = Folding::of_key(Position::ZERO, &request, &lane);
    let fold = sources.fold(&folding, request.through, None, &Everything).expect("a what-if");
    let examined = fold.examined(&lane).expect("it differs");
    assert_eq!(examined.lane.emissions().only_recorded().len() as u64, EVENTS);
    let reads = lived.storage.operations() - before;
    assert!(reads < 100, "{reads} reads");
}

/// Each delivery of the candidate sets another value that the old version did not, and reads them all.
#[test]
fn the_values_that_differ_are_not_copied_for_each_delivery() {
    let old: Handler = Arc::new(|_, _| Effects::default());
    let new: Handler = Arc::new(|item, state| {
        let n = number(item);
        assert_eq!(state.list("", usize::MAX).expect("names").len() as u64, n);
        let write = StateWrite { name: format!("value/{n}"), value: Some(vec![1]) };
        Effects { state: vec![write], ..Effects::default() }
    });
    let lived = live(old, &of_one_key());
    let before = COPIED.get();
    let examined = lived.examine(&new, None);
    assert!(examined.values().all(|examined| examined.lane.state().len() as u64 == DELIVERIES), "{examined:?}");
    assert_eq!(COPIED.get() - before, 0);
}

/// An application looks at one key after the other.
#[test]
fn deployments_are_read_once_for_all_keys() {
    const DEPLOYMENTS: u64 = 200;
    const KEYS: u64 = 50;
    let numbers: Vec<_> = (0..KEYS).map(|n| (format!("k{n}"), 5)).collect();
    let (new, mut lived) = (totals(0), live(totals(5), &numbers));
    let code: Handler = Arc::new(|_, _| Effects::default());
    let deploy = |lived: &mut World| (0..DEPLOYMENTS).for_each(|_| lived.deploy("other", "none", Arc::clone(&code)));
    deploy(&mut lived);
    let replay = asked(&mut lived);
    for (lane, examined) in &lived.examine(&new, None) {
        let plan = planned(&lived, (lane, examined));
        append(&mut lived, replay, (lane, examined), plan);
    }
    (0..DEPLOYMENTS).for_each(|_| lived.deploy(TOTALS, "number", totals(5)));
    let sources = lived.sources(None);
    // What is found without the index.
    let mut of_all = WhatIf { runs: Runs::Without(replay), through: lived.log.head(), ..request() };
    let fold = |folding: &Folding| sources.fold(folding, lived.log.head(), None, &Everything).expect("a what-if");
    let all = fold(&Folding::of_all(replay, &of_all, None));
    of_all.selection.after = replay;
    let before = lived.storage.operations();
    for (key, _) in &numbers {
        let lane = (name(TOTALS), key.clone());
        let found = fold(&Folding::of_key(replay, &of_all, &lane));
        assert!(found.examined(&lane).is_some() && found.examined(&lane) == all.examined(&lane), "{key}");
    }
    let reads = lived.storage.operations() - before;
    assert!(reads < 3 * DEPLOYMENTS + 20 * KEYS, "{reads} reads");
}

fn bounded(bytes: u64) -> WhatIf {
    WhatIf { bounds: Bounds { bytes, ..Bounds::default() }, ..request() }
}

#[test]
fn keys_that_are_known_are_counted_where_nothing_differs() {
    let numbers: Vec<_> = (0..1_000).map(|n| (format!("k{n}"), 5)).collect();
    let lived = live(totals(0), &numbers);
    let examine = |bytes| lived.sources(Some(&totals(0))).examine(&bounded(bytes), &Everything).expect("a what-if");
    let found = examine(4_000);
    assert_eq!(found.bound.map(|bound| bound.what), Some("bytes"));
    assert!(found.alone.is_empty());
    assert_eq!(examine(400_000).bound, None);
}

#[test]
fn both_passes_share_one_limit_of_memory() {
    let lived = live(totals(5), &numbers(7));
    let examine = |bytes| lived.sources(Some(&totals(0))).examine(&bounded(bytes), &Everything).expect("a what-if");
    let found = examine(Bounds::default().bytes);
    let alone: u64 = found.alone.values().map(|examined| examined.bytes()).sum();
    let cascade: u64 = found.cascade.values().map(|examined| examined.bytes()).sum();
    assert!(alone > 0 && cascade >= alone && found.cascade_bound.is_none());
    let found = examine(cascade + alone / 2);
    assert_eq!((found.bound, found.cascade_bound.map(|bound| bound.what)), (None, Some("bytes")));
    assert!(!found.alone.is_empty(), "the plan is whole");
    let listed = |key: &String| found.cascade.get(&(name(TOTALS), key.clone()));
    assert!(found.alone.iter().all(|(key, examined)| listed(key) == Some(examined)), "and so is the list of its keys");
}
