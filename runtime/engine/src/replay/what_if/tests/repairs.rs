//! What-ifs over logs in which keys were repaired before.

use weirgate_types::{CallBefore, KEY_REPAIRED, KeyRepaired, LoggedEvent};

use super::{world::Everything, *};

const SEEDS: u64 = 150;

fn repaired_key() -> KeyRepaired {
    KeyRepaired {
        replay: String::new(),
        reason: String::new(),
        emitted_before: Vec::new(),
        emitted_now: Vec::new(),
        calls_before: Vec::new(),
        state_before: Vec::new(),
        truncated: false,
    }
}

/// What a repair hands over to its handler.
fn handed_over(plan: &KeyPlan) -> Event {
    let logged = |stays: &Stays| LoggedEvent { position: stays.at, by: stays.delivery, event: stays.event.clone() };
    let data = KeyRepaired { emitted_before: plan.stays.iter().map(logged).collect(), ..repaired_key() };
    let extensions = std::collections::BTreeMap::from([("partitionkey".to_owned(), plan.key.clone().into())]);
    Event {
        id: plan.key.clone(),
        source: "/weirgate/replays/totals".into(),
        r#type: KEY_REPAIRED.into(),
        subject: None,
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions,
        implied_key: None,
        data: data.into_data(1 << 20),
    }
}

/// Repairs all keys that differ, or undoes that, and hands over what stays.
fn repair(lived: &mut World, replay: Position, request: &WhatIf, new: &Handler) -> usize {
    let is_undo = matches!(request.runs, Runs::Without(_));
    let examined = lived.examine_as(request, new, None);
    for one in &examined {
        repair_key(lived, replay, one, is_undo);
    }
    examined.len()
}

fn repair_key(lived: &mut World, replay: Position, (lane, examined): (&LaneId, &Examined), is_undo: bool) {
    let plan = planned(lived, (lane, examined));
    assert_eq!(plan.refused, None);
    let corrected = (!plan.stays.is_empty()).then(|| handed_over(&plan));
    append_as(lived, replay, (lane, examined), plan, |repaired| {
        (repaired.corrected, repaired.is_undo) = (corrected, is_undo);
    });
}

/// Repairs all keys that differ by three versions, one after the other.
fn repair_thrice(lived: &mut World) -> [Position; 3] {
    [0, 9, 3].map(|limit| {
        let replay = asked(lived);
        repair(lived, replay, &request(), &totals(limit));
        replay
    })
}

fn selecting(change: impl FnOnce(&mut Selection)) -> WhatIf {
    let mut request = request();
    change(&mut request.selection);
    request
}

/// That a what-if finds nothing to do, and no key of which it cannot say what to do.
fn finds_nothing_to_do(lived: &World, request: &WhatIf, new: &Handler, seed: u64) {
    for (lane, examined) in &lived.examine_as(request, new, None) {
        let plan = planned(lived, (lane, examined));
        assert!(plan.is_empty() && plan.refused.is_none(), "seed {seed}: {plan:?}");
    }
}

/// That a what-if finds no key that differs, but for parts that several keys write.
fn finds_nothing(lived: &World, request: &WhatIf, new: &Handler, seed: u64) {
    let mut examined = lived.examine_as(request, new, None);
    examined.retain(|_, examined| examined.lane.moved().is_empty() || !examined.comes_to_the_same());
    examined.retain(|_, Examined { lane, notes, .. }| {
        let is_own = |subject: &String| !subject.starts_with("all/");
        let is_shared = !lane.status().is_empty() && !lane.status().keys().any(is_own);
        !is_shared || !lane.state().is_empty() || !lane.emissions().is_empty() || notes.fails().is_some()
    });
    assert_eq!(examined, BTreeMap::new(), "seed {seed}");
}

#[test]
fn a_key_of_which_nothing_is_selected_stands_as_it_was_repaired() {
    let mut repaired = 0;
    for seed in 0..SEEDS {
        let (new, mut lived) = (totals(0), live(totals(5), &numbers(seed)));
        let replay = asked(&mut lived);
        repaired += repair(&mut lived, replay, &request(), &new);
        let head = lived.log.head();
        for nothing in [
            selecting(|selection| selection.keys = vec!["none".into()]),
            selecting(|selection| selection.types = vec!["nothing.here".into()]),
            selecting(|selection| selection.after = head),
            selecting(|selection| selection.version = Some(head)),
        ] {
            assert_eq!(lived.examine_as(&nothing, &new, None), BTreeMap::new(), "seed {seed}");
        }
    }
    assert!(repaired > 50, "{repaired}");
}

#[test]
fn deliveries_that_the_candidate_does_not_take_are_repaired_once() {
    let takes_none = Candidate { module: Digest([0; 32]), manifest: manifest(TOTALS, "other"), version: None };
    let request = WhatIf { runs: Runs::Candidate(takes_none), ..request() };
    for seed in 0..SEEDS {
        let (new, mut lived) = (totals(0), live(totals(5), &numbers(seed)));
        let replay = asked_as(&mut lived, &request);
        repair(&mut lived, replay, &request, &new);
        assert_eq!(states_of(&lived, &[TOTALS]), BTreeMap::new(), "seed {seed}: it has handled nothing");
        finds_nothing(&lived, &request, &new, seed);
    }
}

#[test]
fn a_selection_that_takes_more_than_that_of_a_repair_finds_nothing_to_do() {
    for seed in 0..SEEDS {
        let (new, mut lived) = (totals(0), live(totals(5), &numbers(seed)));
        let of_version = selecting(|selection| selection.version = Some(Position(1)));
        let replay = asked_as(&mut lived, &of_version);
        repair(&mut lived, replay, &of_version, &new);
        finds_nothing_to_do(&lived, &of_version, &new, seed);
        finds_nothing_to_do(&lived, &request(), &new, seed);
    }
}

#[test]
fn a_selection_that_takes_less_than_that_of_a_repair_has_no_plan_until_it_is_undone() {
    let mut refused = 0;
    for seed in 0..SEEDS {
        let (new, mut lived) = (totals(0), live(totals(5), &numbers(seed)));
        let (states, statuses, middle) =
            (lived.states.clone(), lived.statuses.clone(), Position(lived.log.head().0 / 2));
        let replay = asked(&mut lived);
        repair(&mut lived, replay, &request(), &new);
        let first_half = selecting(|selection| selection.through = Some(middle));
        for (lane, examined) in &lived.examine_as(&first_half, &new, None) {
            let plan = planned(&lived, (lane, examined));
            refused += usize::from(plan.refused.is_some_and(|reason| reason.contains("undo it")));
        }
        repair(&mut lived, replay, &undoing(replay), &new);
        assert_eq!((&lived.states, &lived.statuses), (&states, &statuses), "seed {seed}: all is back");
        for (lane, examined) in &lived.examine_as(&first_half, &new, None) {
            assert_eq!(planned(&lived, (lane, examined)).refused, None, "seed {seed}");
        }
        let again = asked(&mut lived);
        repair(&mut lived, again, &request(), &new);
        assert_eq!(states_of(&lived, &[TOTALS]), states_of(&live(totals(0), &numbers(seed)), &[TOTALS]), "seed {seed}");
        finds_nothing_to_do(&lived, &request(), &new, seed);
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_repair_that_another_stands_on_does_not_come_back_when_that_is_undone() {
    for seed in 0..SEEDS {
        let mut lived = live(totals(5), &numbers(seed));
        let (states, statuses) = (lived.states.clone(), lived.statuses.clone());
        let [first, second] = [0, 9].map(|limit| {
            let replay = asked(&mut lived);
            repair(&mut lived, replay, &request(), &totals(limit));
            replay
        });
        for replay in [first, second] {
            repair(&mut lived, replay, &undoing(replay), &totals(5));
            lived.undone.insert(replay);
        }
        assert_eq!((&lived.states, &lived.statuses), (&states, &statuses), "seed {seed}: all is back");
        finds_nothing(&lived, &request(), &totals(5), seed);
    }
}

/// In a fork that begins between a repair and its undo, or that selects nothing before the repair, nothing of either is left: it comes to what it
/// would come to in a log without them.
#[test]
fn a_repair_that_was_undone_does_not_come_back_where_the_selection_begins_behind_it() {
    let mut repaired = 0;
    for seed in 0..SEEDS {
        let (before, after) = (numbers(seed), numbers(seed + SEEDS));
        let accept = |world: &mut World| {
            after.iter().enumerate().for_each(|(id, (key, n))| world.accept(before.len() + id, key, *n));
        };
        let (old, new) = (totals(5), totals(9));
        let mut lived = live(Arc::clone(&old), &before);
        let replay = asked(&mut lived);
        repaired += repair(&mut lived, replay, &request(), &totals(0));
        let middle = lived.log.head();
        accept(&mut lived);
        repair(&mut lived, replay, &undoing(replay), &old);
        lived.undone.insert(replay);
        let mut unrepaired = live(Arc::clone(&old), &before);
        accept(&mut unrepaired);
        assert_eq!(states_of(&lived, &[TOTALS]), states_of(&unrepaired, &[TOTALS]), "seed {seed}: all is back");
        let mut other = live(old, &before);
        other.deploy(TOTALS, "number", Arc::clone(&new));
        accept(&mut other);
        let behind = selecting(|selection| selection.after = middle);
        let found = lived.sources(Some(&new)).examine(&behind, &Everything).expect("a what-if");
        let found: BTreeMap<LaneId, Examined> =
            found.alone.into_iter().map(|(key, examined)| ((name(TOTALS), key), (*examined).clone())).collect();
        let states = with_differences(&lived, &found).into_iter().filter(|((handler, _), _)| *handler == name(TOTALS));
        assert_eq!(states.collect::<BTreeMap<_, _>>(), states_of(&other, &[TOTALS]), "seed {seed}");
        assert!(found.values().all(|examined| examined.notes.fails().is_none()), "seed {seed}");
    }
    assert!(repaired > 50, "{repaired}");
}

/// Whatever order three repairs are undone in, all is as it was before the first of them; also where each takes its keys back one by one.
#[test]
fn repairs_are_undone_in_any_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (seed, order) in (0..SEEDS).flat_map(|seed| orders.map(|order| (seed, order))) {
        let is_in_parts = seed % 2 == 1;
        let mut lived = live(totals(5), &numbers(seed));
        let (states, statuses, emitted) = (lived.states.clone(), lived.statuses.clone(), standing(&lived));
        let replays = repair_thrice(&mut lived);
        for replay in order.map(|index| replays[index]) {
            if is_in_parts {
                undo_in_parts(&mut lived, replay);
            } else {
                repair(&mut lived, replay, &undoing(replay), &totals(5));
            }
            lived.undone.insert(replay);
        }
        let found = (&lived.states, &lived.statuses, standing(&lived));
        assert_eq!(found, (&states, &statuses, emitted), "seed {seed}, {order:?}, in parts: {is_in_parts}");
    }
}

/// Takes back what a replay has repaired, key by key.
fn undo_in_parts(lived: &mut World, replay: Position) {
    let lanes: Vec<LaneId> = lived.examine_as(&undoing(replay), &totals(5), None).into_keys().collect();
    for lane in lanes {
        let request =
            WhatIf { selection: Selection { keys: vec![lane.1.clone()], ..Selection::default() }, ..undoing(replay) };
        let examined = lived.examine_as(&request, &totals(5), None);
        let Some(one) = examined.get(&lane) else { continue };
        repair_key(lived, replay, (&lane, one), true);
        lived.undone_in_part.insert((replay, lane));
    }
}

/// What a later repair has handed over is compensated: the undo of the repair that emitted it does not hand it over again.
#[test]
fn what_a_later_repair_has_handed_over_is_not_handed_over_by_an_undo() {
    let mut handed = 0;
    for (seed, undone) in (0..SEEDS).flat_map(|seed| (0..3).map(move |undone| (seed, undone))) {
        let mut lived = live(totals(5), &numbers(seed));
        let replays = repair_thrice(&mut lived);
        let before = handed_over_in(&lived);
        repair(&mut lived, replays[undone], &undoing(replays[undone]), &totals(5));
        lived.undone.insert(replays[undone]);
        let after = handed_over_in(&lived);
        let again: Vec<_> = after.iter().skip(before.len()).filter(|position| before.contains(position)).collect();
        assert_eq!(again, Vec::<&Position>::new(), "seed {seed}, undone {undone}");
        repair(&mut lived, replays[undone], &undoing(replays[undone]), &totals(5));
        assert_eq!(handed_over_in(&lived), after, "twice is once: seed {seed}, undone {undone}");
        handed += after.len() - before.len();
    }
    assert!(handed > 50, "{handed}");
}

/// Whichever repair is undone, what the last version emits stands once that is applied again: each event once, and no other one.
#[test]
fn after_an_undo_the_last_version_stands_once_it_is_applied_again() {
    for (seed, undone) in (0..SEEDS).flat_map(|seed| (0..3).map(move |undone| (seed, undone))) {
        let mut lived = live(totals(5), &numbers(seed));
        let replays = repair_thrice(&mut lived);
        repair(&mut lived, replays[undone], &undoing(replays[undone]), &totals(5));
        lived.undone.insert(replays[undone]);
        let replay = asked(&mut lived);
        repair(&mut lived, replay, &request(), &totals(3));
        let wanted = live(totals(3), &numbers(seed));
        assert_eq!(states_of(&lived, &[TOTALS]), states_of(&wanted, &[TOTALS]), "seed {seed}, undone {undone}");
        assert_eq!(standing(&lived), standing(&wanted), "seed {seed}, undone {undone}");
    }
}

/// The contents of the events of the first handler that no repair has handed over, by key. What one that was undone has handed over stands
/// again: the undo took that back.
fn standing(lived: &World) -> BTreeMap<LaneId, Vec<Digest>> {
    let mut emitted = lived.emitted.clone();
    let is_undone = |repaired: &Repaired| !repaired.is_undo && lived.undone.contains(&repaired.replay);
    for Repaired { handler, key, corrected, .. } in repairs(lived).into_iter().filter(|one| !is_undone(one)) {
        let handed_over = corrected.map(|event| KeyRepaired::from_data(&event.data).expect("its data").emitted_before);
        for logged in handed_over.into_iter().flatten() {
            let of_lane = emitted.get_mut(&(handler.clone(), key.clone())).expect("it has emitted");
            let content = emissions::content(&logged.event);
            let index = of_lane.iter().position(|one| *one == content).expect("it stood");
            of_lane.remove(index);
        }
    }
    emitted.retain(|(handler, _), contents| *handler == name(TOTALS) && !contents.is_empty());
    emitted
}

fn repairs(lived: &World) -> Vec<Repaired> {
    let records = lived.log.reader().scan(Position::ZERO).map(|read| read.expect("a record").1);
    let repaired = records.filter_map(|record| match record {
        Record::Repaired(repaired) => Some(*repaired),
        _ => None,
    });
    repaired.collect()
}

/// The events that repairs have handed over, in order.
fn handed_over_in(lived: &World) -> Vec<Position> {
    let corrected = repairs(lived).into_iter().filter_map(|repaired| repaired.corrected);
    let logged = corrected.flat_map(|event| KeyRepaired::from_data(&event.data).expect("its data").emitted_before);
    logged.map(|logged| logged.position).collect()
}

#[test]
fn nothing_differs_after_a_repair_back_to_the_version_that_handled_the_deliveries() {
    for seed in 0..SEEDS {
        let mut lived = live(totals(5), &numbers(seed));
        for limit in [0, 5] {
            let replay = asked(&mut lived);
            repair(&mut lived, replay, &request(), &totals(limit));
            finds_nothing(&lived, &request(), &totals(limit), seed);
        }
    }
}

#[test]
fn a_selection_that_leaves_no_delivery_out_takes_all_of_a_repair() {
    for seed in 0..SEEDS {
        let (new, mut lived) = (totals(0), live(totals(5), &numbers(seed)));
        let replay = asked(&mut lived);
        repair(&mut lived, replay, &request(), &new);
        let of_version = selecting(|selection| selection.version = Some(Position(1)));
        finds_nothing(&lived, &of_version, &new, seed);
    }
}

#[test]
fn no_repair_writes_a_status_that_stands() {
    let mut written = 0;
    for seed in 0..SEEDS {
        let (new, lived) = (totals(0), live(totals(5), &numbers(seed)));
        for (lane, examined) in &lived.examine(&new, None) {
            let plan = planned(&lived, (lane, examined));
            written += plan.status.len();
            for status in plan.status {
                let stands = lived.statuses.get(&(lane.0.clone(), status.subject.clone()));
                assert_ne!(stands, Some(&status), "seed {seed}");
            }
        }
    }
    assert!(written > 50, "{written}");
}

#[test]
fn calls_that_a_repair_has_not_handed_over_are_still_to_be_compensated() {
    let (new, mut lived) = (totals(0), World::new(totals(5)));
    lived.is_calling = true;
    [5, 1, 10].into_iter().enumerate().for_each(|(id, n)| lived.accept(id, "k", n));
    let replay = asked(&mut lived);
    // The version that this is made for makes the calls, too, so they are none of its handler's business.
    repair(&mut lived, replay, &request(), &new);
    let examined = lived.examine(&new, None);
    let (lane, found) = examined.iter().next().expect("it has calls that the candidate does not make");
    let plan = planned(&lived, (lane, found));
    assert!(found.lane.is_same() && plan.is_empty(), "{found:?}");
    assert_eq!(plan.calls.len(), 3);
    let calls_before = plan.calls.iter().map(|(by, call)| CallBefore {
        by: *by,
        step: call.step.clone(),
        method: call.request.method.clone(),
        url: call.request.url.clone(),
        status: None,
        body: None,
    });
    let data = KeyRepaired { calls_before: calls_before.collect(), ..repaired_key() };
    let corrected = Event { data: data.into_data(1 << 20), ..handed_over(&plan) };
    let replay = asked(&mut lived);
    append_as(&mut lived, replay, (lane, found), plan, |repaired| repaired.corrected = Some(corrected));
    assert_eq!(lived.examine(&new, None), BTreeMap::new());
}
