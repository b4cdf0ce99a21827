//! Receivers that are folded again stand as in the world of the candidate.

use weirgate_types::{StateWrite, StatusWrite};

use super::{
    owners::{ORDERS, Order},
    *,
};

const SEEDS: u64 = 300;

/// What differs on keys of the receiver, where it has what these keys of the handler emit in the fork.
fn receivers(lived: &World, new: &Handler, emitting: &BTreeSet<LaneId>) -> BTreeMap<LaneId, Examined> {
    let mut examined = lived.examine(new, Some(emitting));
    examined.retain(|(handler, _), _| *handler == name(REPORTS));
    examined
}

/// Repairs the keys of the handler; its receiver gets what is appended. Returns them.
fn repair(lived: &mut World, replay: Position, new: &Handler) -> BTreeSet<LaneId> {
    let alone = lived.examine(new, None);
    for (lane, examined) in &alone {
        let plan = planned(lived, (lane, examined));
        let (at, appended) = append(lived, replay, (lane, examined), plan);
        let positions = (1_u64..).map(|offset| at.plus(offset));
        lived.follow(positions.zip(appended).map(|(position, event)| (position, event, 1)).collect());
    }
    alone.into_keys().collect()
}

/// Repairs the keys of the handler, and folds its receiver again. Returns the keys that are right then.
fn repair_and_fold(lived: &mut World, replay: Position, new: &Handler) -> BTreeSet<LaneId> {
    let mut emitting = lived.settled(new);
    emitting.extend(repair(lived, replay, new));
    for (lane, examined) in &receivers(lived, new, &emitting) {
        let plan = planned(lived, (lane, examined));
        assert_eq!(plan.refused, None);
        append(lived, replay, (lane, examined), plan);
    }
    emitting
}

/// Nothing is left to be done, and it stands as in another world.
fn assert_stands(lived: &World, new: &Handler, emitting: &BTreeSet<LaneId>, other: &World, what: &str) {
    let both = [TOTALS, REPORTS];
    assert_eq!(states_of(lived, &both), states_of(other, &both), "{what}");
    for (lane, examined) in &receivers(lived, new, emitting) {
        let plan = planned(lived, (lane, examined));
        assert!(plan.is_empty(), "{what}: it is folded once: {plan:?}");
    }
}

/// Appended events reach their receiver late, beside the wrong ones that it had; folded again, it stands as if it had had the right ones.
#[test]
fn a_receiver_that_is_folded_again_stands_as_in_the_world_of_the_candidate() {
    for seed in 0..SEEDS {
        let (new, numbers) = (totals(0), numbers(seed));
        let mut lived = live(totals(5), &numbers);
        let replay = asked(&mut lived);
        let emitting = repair_and_fold(&mut lived, replay, &new);
        let other = live(Arc::clone(&new), &numbers);
        assert_stands(&lived, &new, &emitting, &other, &format!("seed {seed}: {numbers:?}"));
    }
}

/// The second replay leaves keys as they are that the first has repaired; what these emitted late is in time in its fork, too.
#[test]
fn a_receiver_that_is_folded_again_by_another_replay_keeps_what_the_first_has_corrected() {
    for seed in 0..SEEDS {
        let (new, numbers) = (totals(0), numbers(seed));
        let (first, second) = numbers.split_at(numbers.len() / 2);
        let mut lived = live(totals(5), first);
        for (id, (key, n)) in second.iter().enumerate() {
            if id == 0 {
                let replay = asked(&mut lived);
                repair_and_fold(&mut lived, replay, &new);
            }
            lived.accept(first.len() + id, key, *n);
        }
        let replay = asked(&mut lived);
        let emitting = repair_and_fold(&mut lived, replay, &new);
        let other = live(Arc::clone(&new), &numbers);
        assert_stands(&lived, &new, &emitting, &other, &format!("seed {seed}: {numbers:?}"));
    }
}

/// What was folded, and taken back, is there for the next replay as if it had never been folded.
#[test]
fn a_receiver_whose_fold_was_undone_is_folded_again_by_the_next_replay() {
    for seed in 0..SEEDS {
        let (new, numbers) = (totals(0), numbers(seed));
        let mut lived = live(totals(5), &numbers);
        let replay = asked(&mut lived);
        repair_and_fold(&mut lived, replay, &new);
        for (lane, examined) in &lived.examine_as(&undoing(replay), &new, None) {
            let plan = planned(&lived, (lane, examined));
            append_as(&mut lived, replay, (lane, examined), plan, |repaired| repaired.is_undo = true);
        }
        lived.undone.insert(replay);
        let replay = asked(&mut lived);
        let emitting = repair_and_fold(&mut lived, replay, &new);
        let other = live(Arc::clone(&new), &numbers);
        assert_stands(&lived, &new, &emitting, &other, &format!("seed {seed}: {numbers:?}"));
    }
}

/// Publishes numbers as they are, and keeps nothing. A version may leave out what another one does not.
fn echo(leaves_out: u64) -> Handler {
    Arc::new(move |item, _| {
        let n: u64 = String::from_utf8_lossy(&item.event.data).parse().expect("a number");
        let (id, to) = (format!("{}/1", item.delivery.position), if n.is_multiple_of(2) { "all" } else { "odd" });
        let is_left_out = leaves_out > 0 && n.is_multiple_of(leaves_out);
        let emitted = (!is_left_out).then(|| event(id, "/handlers/totals", "total", to, n));
        Effects { emitted: emitted.into_iter().collect(), ..Effects::default() }
    })
}

/// What one replay has dropped, and folded a receiver without, is there again in the next one's candidate: nothing differs there but that.
#[test]
fn a_receiver_has_again_what_a_later_version_brings_back() {
    for (code, leave_out) in [totals, echo].into_iter().flat_map(|code| {
        [[0, 5, 0].as_slice(), &[0, 2, 5], &[5, 0, 5, 0], &[3, 2, 5, 0]].map(|leave_out| (code, leave_out))
    }) {
        for seed in 0..SEEDS / 10 {
            let numbers = numbers(seed);
            let (first, later) = leave_out.split_first().expect("a version");
            let mut lived = live(code(*first), &numbers);
            for leaves_out in later {
                let new = code(*leaves_out);
                let replay = asked(&mut lived);
                let emitting = repair_and_fold(&mut lived, replay, &new);
                let other = live(Arc::clone(&new), &numbers);
                assert_stands(&lived, &new, &emitting, &other, &format!("seed {seed}, {leave_out:?}: {numbers:?}"));
            }
        }
    }
}

#[test]
fn a_receiver_that_began_later_with_the_first_event_has_what_was_missing_before() {
    let mut received = 0;
    for seed in 0..SEEDS {
        let (new, numbers) = (totals(0), numbers(seed));
        let late = |old: Handler| {
            let mut world = World::without_reports(old);
            for (id, (key, n)) in numbers.iter().enumerate() {
                if id == numbers.len() / 2 {
                    world.begin(REPORTS, "total", reports());
                }
                world.accept(id, key, *n);
            }
            world
        };
        let mut lived = late(totals(5));
        let replay = asked(&mut lived);
        repair_and_fold(&mut lived, replay, &new);
        let sums = |world: &World| {
            let sum = |lane: &LaneId| world.states.get(lane).and_then(|state| state.get("sum").cloned());
            let lanes = world.states.keys().filter(|lane| lane.0 == name(REPORTS));
            lanes.map(|lane| (lane.clone(), sum(lane))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(sums(&lived), sums(&late(Arc::clone(&new))), "seed {seed}: {numbers:?}");
        received += sums(&lived).len();
    }
    assert!(received > 0, "no key of the receiver has had anything");
}

/// What it would come to with the right events, and with what another replay has made of the wrong ones, is not known.
#[test]
fn a_receiver_that_another_replay_has_repaired_is_not_folded_again_before_that_is_undone() {
    let (new, right) = (totals(0), [("k", 20), ("k", 8)]);
    let numbers: Vec<(String, u64)> = right.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect();
    let mut lived = live(totals(5), &numbers);
    let lane = (name(REPORTS), "all".to_owned());
    let request = WhatIf { handler: name(REPORTS), ..request() };
    let requested = |request: &WhatIf| ReplayRequested {
        handler: request.handler.clone(),
        request: serde_json::to_string(request).expect("it can be encoded"),
        actor: String::new(),
        reason: String::new(),
        at_ms: 0,
    };
    let its_own = lived.stage(&Record::ReplayRequested(requested(&request)));
    let before = lived.states.get(&lane).and_then(|state| state.get("sum").cloned());
    let repair_to = |lived: &mut World, value: Option<Vec<u8>>, is_undo: bool| {
        let state = vec![StateWrite { name: "sum".into(), value }];
        let plan = KeyPlan { key: "all".into(), state, ..KeyPlan::default() };
        let examined = Examined::default();
        append_as(lived, its_own, (&lane, &examined), plan, |repaired| repaired.is_undo = is_undo);
    };
    repair_to(&mut lived, Some(b"100".to_vec()), false);
    let replay = asked(&mut lived);
    let emitting = repair(&mut lived, replay, &new);
    let plan = |lived: &World| {
        let found = receivers(lived, &new, &emitting).remove(&lane).expect("it differs");
        planned(lived, (&lane, &found))
    };
    let refused = plan(&lived).refused.expect("it is not folded");
    assert!(refused.contains(&format!("the replay {its_own} has repaired the key")), "{refused}");
    repair_to(&mut lived, before, true);
    lived.undone.insert(its_own);
    let plan = plan(&lived);
    assert_eq!(plan.refused, None);
    let other = live(Arc::clone(&new), &numbers);
    let sum = other.states.get(&lane).and_then(|state| state.get("sum"));
    assert_eq!(plan.state.iter().map(|write| write.value.as_ref()).collect::<Vec<_>>(), [sum]);
}

/// Adds its events up, and shows the sum, sometimes in a part that all keys set.
fn showing() -> Handler {
    Arc::new(|item, state| {
        let sum = state.get("sum").expect("the state").map_or(0, |sum| sum.len());
        let n: usize = String::from_utf8_lossy(&item.event.data).parse().expect("a number");
        let state = vec![StateWrite { name: "sum".into(), value: Some(vec![0; (sum + n) % 50]) }];
        let key = item.event.key();
        let subject = if n.is_multiple_of(3) { format!("{key}/report") } else { "all/report".to_owned() };
        let (state_name, text) = ("report".to_owned(), format!("{key} {}", (sum + n) % 4));
        let status = vec![StatusWrite { subject, state: state_name, text, data: None }];
        Effects { state, status, ..Effects::default() }
    })
}

/// The last writer by position owns a part that several keys of a receiver set; one that no key sets any more is removed.
#[test]
fn parts_of_a_receiver_stand_as_in_the_world_of_the_candidate_whatever_order_its_keys_are_folded_in() {
    let live = |handler: Handler, numbers: &[(String, u64)]| {
        let mut world = World::without_reports(handler);
        world.deploy(REPORTS, "total", showing());
        numbers.iter().enumerate().for_each(|(id, (key, n))| world.accept(id, key, *n));
        world
    };
    let of_receiver = |world: &World| {
        let mut statuses = world.statuses.clone();
        statuses.retain(|(handler, _), _| *handler == name(REPORTS));
        statuses
    };
    let mut removed = 0;
    for ((order_name, order), [old, new]) in
        ORDERS.into_iter().flat_map(|order| [[5, 0], [0, 5], [0, 2]].map(|both| (order, both)))
    {
        for seed in 0..SEEDS / 3 {
            let (new, numbers) = (totals(new), numbers(seed));
            let (mut lived, other) = (live(totals(old), &numbers), live(Arc::clone(&new), &numbers));
            let replay = asked(&mut lived);
            let emitting = repair(&mut lived, replay, &new);
            fold_in(&mut lived, replay, (&new, &emitting), order, seed);
            let what = format!("seed {seed}, {order_name}, from {old}: {numbers:?}");
            assert_eq!(of_receiver(&lived), of_receiver(&other), "{what}");
            removed += usize::from(lived.has_removed_part());
        }
    }
    assert!(removed > 20, "{removed} worlds in which a part is removed");
}

/// Folds the receiver's keys, each as it is when its turn comes.
fn fold_in(
    lived: &mut World,
    replay: Position,
    (new, emitting): (&Handler, &BTreeSet<LaneId>),
    order: Order,
    seed: u64,
) {
    let (planned, through) = (receivers(lived, new, emitting), lived.log.head());
    let lanes: Vec<LaneId> = planned.keys().cloned().collect();
    for lane in order(&lanes, seed) {
        let parts = parts_of(REPORTS, &planned, through, |_| KeyIsRepaired::Now).repaired_by(replay, false);
        let now = receivers(lived, new, emitting);
        let Some(examined) = now.get(&lane) else { continue };
        let plan = planned_among(lived, (&lane, examined), &parts);
        append(lived, replay, (&lane, examined), plan);
    }
}
