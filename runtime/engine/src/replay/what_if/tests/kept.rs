//! A fold that is gone on with comes to what a whole one comes to, wherever it was left.

use std::sync::atomic::{AtomicU64, Ordering};

use weirgate_types::{DeliveryId, ReplayAnswered, StepAnswer, StepRequest};

use super::{
    lived::{KEYS, Lived, with_timers},
    world::{Everything, index},
    *,
};

const SEEDS: u64 = 120;

/// The candidate takes events that the old version did not.
fn takes_more() -> WhatIf {
    let manifest = manifest(TOTALS, r#"number","other"#);
    WhatIf { runs: Runs::Candidate(Candidate { module: CANDIDATE, manifest, version: None }), ..request() }
}

/// What is folded of a story: keys alone, all of them, and receivers with what some keys emit.
fn foldings(lived: &Lived) -> Vec<(Folding, Vec<LaneId>)> {
    let lanes = |handler: &str| {
        let keys = (0..KEYS).map(|n| format!("k{n}")).chain(["all".to_owned()]);
        keys.map(|key| (name(handler), key)).collect::<Vec<_>>()
    };
    let own = lanes(TOTALS);
    let emitting = Arc::new(own.iter().take(2).cloned().collect());
    let all = own.iter().cloned().chain(lanes(REPORTS)).collect::<Vec<_>>();
    let undoing = lived.undone.keys().chain(&lived.replays).next().copied();
    let requests = [request(), takes_more()].into_iter();
    let undo = undoing.map(|replay| WhatIf { runs: Runs::Without(replay), ..request() });
    let mut foldings = Vec::new();
    for request in requests.chain(undo) {
        let replay = Position(u64::MAX);
        foldings.extend(own.iter().map(|lane| (Folding::of_key(replay, &request, lane), vec![lane.clone()])));
        foldings.push((Folding::of_all(replay, &request, None), all.clone()));
        if matches!(request.runs, Runs::Candidate(_)) {
            foldings.push((Folding::of_all(replay, &request, Some(Arc::clone(&emitting))), all.clone()));
        }
    }
    foldings
}

#[test]
fn a_fold_that_is_gone_on_with_comes_to_what_a_whole_one_comes_to() {
    let (mut gone_on, mut anew, mut differing) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (new, mut lived) = (with_timers(totals(0)), Lived::new(seed));
        (0..40 + lived.chance.below(80)).for_each(|_| lived.step(&new));
        let (sources, ends) = (lived.sources(&new), lived.ends());
        for (folding, lanes) in foldings(&lived) {
            let fold = |through, kept| sources.fold(&folding, through, kept, &Everything).expect("a what-if");
            let (mut kept, mut at) = (None, 0);
            while at < ends.len() {
                let through = ends[at];
                let (gone, whole) = (fold(through, kept.take()), fold(through, None));
                for lane in &lanes {
                    assert_eq!(gone.examined(lane), whole.examined(lane), "seed {seed}: {lane:?} through {through}");
                    differing += usize::from(whole.examined(lane).is_some());
                }
                *(if gone.is_whole() { &mut anew } else { &mut gone_on }) += 1;
                kept = Some(gone);
                at += 1 + lived.chance.index(6);
            }
        }
    }
    // It begins anew where it is first looked, and where a replay was undone.
    assert!(differing > 10_000 && gone_on > 10 * anew, "{differing} differ, {gone_on} gone on with, {anew} anew");
}

fn lane() -> LaneId {
    (name(TOTALS), "k".to_owned())
}

/// A key with some numbers, and a fold of it.
fn folded(new: &Handler) -> (World, Folding, KeptFold) {
    let mut world = World::new(totals(5));
    [5, 10, 7].into_iter().enumerate().for_each(|(id, n)| world.accept(id, "k", n));
    let replay = asked(&mut world);
    let folding = Folding::of_key(replay, &request(), &lane());
    let fold = world.sources(Some(new)).fold(&folding, world.log.head(), None, &Everything).expect("a what-if");
    assert!(fold.is_whole() && fold.examined(&lane()).is_some());
    (world, folding, fold)
}

fn answered(replay: Position, position: Position) -> Record {
    let request = StepRequest { method: "GET".into(), url: "https://example.org/".into(), digest: Digest([7; 32]) };
    Record::ReplayAnswered(ReplayAnswered {
        replay,
        delivery: DeliveryId { handler: name(TOTALS), position },
        step: "rate".into(),
        request,
        answer: StepAnswer { status: 200, headers: Vec::new(), body: Vec::new() },
        at_ms: 0,
    })
}

/// What a fold has made of earlier records would be something else now.
#[test]
fn a_fold_begins_anew_where_earlier_records_come_to_something_else() {
    let new = totals(0);
    let on = |world: &World, folding: &Folding, kept| {
        let sources = world.sources(Some(&new));
        sources.fold(folding, world.log.head(), Some(kept), &Everything).expect("a what-if")
    };
    let (mut world, folding, mut fold) = folded(&new);
    let first = world.log.reader().scan(Position::ZERO).map(|read| read.expect("a record"));
    let first = { first }.find(|(_, record)| matches!(record, Record::Accepted { .. })).expect("an event").0;
    world.accept(4, "k", 3);
    fold = on(&world, &folding, fold);
    assert!(!fold.is_whole() && fold.taken() == 3, "an event, an attempt, a commit: {}", fold.taken());
    fold = on(&world, &folding, fold);
    assert!(!fold.is_whole() && fold.taken() == 0, "nothing has come");
    world.stage(&answered(folding.replay(), first));
    fold = on(&world, &folding, fold);
    assert!(!fold.is_whole(), "its own answer");
    let other = asked(&mut world);
    world.stage(&answered(other, first));
    fold = on(&world, &folding, fold);
    assert!(fold.is_whole(), "the answer of another replay");
    let examined = fold.examined(&lane()).expect("it differs").clone();
    let plan = planned(&world, (&lane(), &examined));
    append(&mut world, other, (&lane(), &examined), plan);
    fold = on(&world, &folding, fold);
    assert!(!fold.is_whole(), "a repair");
    world.undone.insert(other);
    fold = on(&world, &folding, fold);
    assert!(fold.is_whole(), "that repair's replay was undone");
    world.deploy(TOTALS, "number", totals(4));
    assert!(!on(&world, &folding, fold).is_whole(), "a version");
}

/// What is done while a key is on hold depends on what has come since it was looked at, and not on how many deliveries it has.
#[test]
fn a_fold_is_gone_on_with_by_as_much_work_as_has_come() {
    // Calls of the candidate, and reads of the log and its index.
    let work = |deliveries: u64, new_ones: u64| {
        let calls = Arc::new(AtomicU64::new(0));
        let (counted, fixed) = (Arc::clone(&calls), totals(0));
        let new: Handler = Arc::new(move |item, state| {
            counted.fetch_add(1, Ordering::Relaxed);
            fixed(item, state)
        });
        let mut world = World::with_segments(totals(5), 16 << 20);
        (0..deliveries).for_each(|n| world.accept(index(n), "k", n));
        let replay = asked(&mut world);
        let folding = Folding::of_key(replay, &request(), &lane());
        let fold = |world: &World, kept| {
            let sources = world.sources(Some(&new));
            sources.fold(&folding, world.log.head(), kept, &Everything).expect("a what-if")
        };
        let kept = fold(&world, None);
        assert_eq!(calls.swap(0, Ordering::Relaxed), deliveries);
        (deliveries..deliveries + new_ones).for_each(|n| world.accept(index(n), "k", n));
        let before = world.storage.operations();
        let gone_on = fold(&world, Some(kept));
        assert!(!gone_on.is_whole() && gone_on.taken() == 3 * new_ones);
        let reads = world.storage.operations() - before;
        assert_eq!(gone_on.examined(&lane()), fold(&world, None).examined(&lane()));
        (calls.load(Ordering::Relaxed) - deliveries - new_ones, reads)
    };
    for new_ones in [0, 1, 10, 100] {
        let [(few, few_reads), (many, many_reads)] = [300, 3_000].map(|deliveries| work(deliveries, new_ones));
        assert_eq!([few, many], [new_ones; 2]);
        assert!(few_reads.max(many_reads) < 20 * (new_ones + 2), "{few_reads} and {many_reads} reads for {new_ones}");
    }
}
