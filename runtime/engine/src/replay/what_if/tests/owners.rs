//! Parts of a status that several keys write: the last writer by position owns them, in whatever order the keys are repaired, and undone.

use weirgate_types::{HandlerName, StatusWrite};

use super::*;

const SEEDS: u64 = 300;

/// An order in which keys are repaired.
pub type Order = fn(&[LaneId], u64) -> Vec<LaneId>;

pub const ORDERS: [(&str, Order); 3] = [
    ("as they are sorted", |lanes, _| lanes.to_vec()),
    ("the other way round", |lanes, _| lanes.iter().rev().cloned().collect()),
    ("in turn", |lanes, seed| {
        let turn = usize::try_from(seed).expect("a number") % lanes.len().max(1);
        lanes.iter().cycle().skip(turn).take(lanes.len()).cloned().collect()
    }),
];

/// Numbers of which every second one, where it sets a status, sets a part that all keys write.
pub fn often_shared(seed: u64) -> Vec<(String, u64)> {
    let numbers = numbers(seed).into_iter().enumerate();
    numbers.map(|(index, (key, n))| (key, if index % 2 == 0 { n * 11 } else { n })).collect()
}

/// Repairs some keys, or takes that back, each as it is when its turn comes. All that an application holds in memory is made anew for each
/// key, as after a kill.
fn repair(
    lived: &mut World,
    (replay, request): (Position, &WhatIf),
    new: &Handler,
    (approved, order): (&dyn Fn(&str) -> bool, Order),
    seed: u64,
) {
    let is_undo = matches!(request.runs, Runs::Without(_));
    let (alone, through) = (lived.examine_as(request, new, None), lived.log.head());
    let lanes: Vec<LaneId> = alone.keys().filter(|(_, key)| approved(key)).cloned().collect();
    for lane in order(&lanes, seed) {
        let parts = parts(&alone, through, approved).repaired_by(replay, is_undo);
        let now = lived.examine_as(request, new, None);
        let Some(examined) = now.get(&lane) else { continue };
        let plan = planned_among(lived, (&lane, examined), &parts);
        append_as(lived, replay, (&lane, examined), plan, |repaired| repaired.is_undo = is_undo);
    }
}

#[test]
fn the_last_writer_by_position_owns_a_part_whatever_order_the_keys_are_repaired_in() {
    let (mut shared, mut differ) = (0, 0);
    for (name, order) in ORDERS {
        for seed in 0..SEEDS {
            let (new, numbers) = (totals(0), often_shared(seed));
            let (mut lived, other) = (live(totals(3), &numbers), live(Arc::clone(&new), &numbers));
            let before = lived.statuses.clone();
            let replay = asked(&mut lived);
            repair(&mut lived, (replay, &request()), &new, (&|_| true, order), seed);
            assert_eq!(lived.statuses, other.statuses, "seed {seed}, {name}: {numbers:?}");
            let is_shared = |subject: &str| subject.starts_with("all/");
            shared += other.statuses.keys().filter(|(_, subject)| is_shared(subject)).count();
            let (alone, through) = (lived.examine(&new, None), lived.log.head());
            let again = parts(&alone, through, |_| true);
            for (lane, examined) in &alone {
                let plan = planned_among(&lived, (lane, examined), &again);
                assert!(plan.is_empty(), "seed {seed}, {name}: it is repaired once: {plan:?}");
            }
            differ += usize::from(repaired_alone(&numbers, &new, order, seed) != other.statuses);
            repair(&mut lived, (replay, &undoing(replay)), &new, (&|_| true, order), seed);
            assert_eq!(lived.statuses, before, "seed {seed}, {name}: it is undone: {numbers:?}");
        }
    }
    assert!(shared > 300 && differ > 50, "{shared} shared parts, {differ} worlds in which it matters");
}

/// The statuses of a world of which each key is repaired as if no other were.
fn repaired_alone(
    numbers: &[(String, u64)],
    new: &Handler,
    order: Order,
    seed: u64,
) -> BTreeMap<(HandlerName, String), StatusWrite> {
    let mut lived = live(totals(3), numbers);
    let (replay, alone) = (asked(&mut lived), lived.examine(new, None));
    let lanes: Vec<LaneId> = alone.keys().cloned().collect();
    for lane in order(&lanes, seed) {
        let Some(examined) = alone.get(&lane) else { continue };
        let plan = planned(&lived, (&lane, examined));
        append(&mut lived, replay, (&lane, examined), plan);
    }
    lived.statuses
}

/// Each key with a plan is approved and applied by itself. The candidate sets parts that were not set, or does not set those that were: then
/// another key owns them, which has no plan of its own.
#[test]
fn the_last_writer_by_position_owns_a_part_also_if_the_keys_are_approved_one_after_the_other() {
    for ((name, order), [old, new]) in ORDERS.into_iter().flat_map(|order| [[3, 0], [0, 3]].map(|both| (order, both))) {
        for seed in 0..SEEDS {
            let numbers = often_shared(seed);
            let (mut lived, other) = (live(totals(old), &numbers), live(totals(new), &numbers));
            let replay = asked(&mut lived);
            let (alone, through) = (lived.examine(&totals(new), None), lived.log.head());
            let all = parts(&alone, through, |_| true);
            let has_plan = |lane: &&LaneId| !planned_among(&lived, (lane, &alone[*lane]), &all).is_nothing();
            let lanes: Vec<LaneId> = alone.keys().filter(has_plan).cloned().collect();
            let mut left: BTreeSet<&str> = lanes.iter().map(|(_, key)| key.as_str()).collect();
            for lane in order(&lanes, seed) {
                left.remove(lane.1.as_str());
                let is_repaired = |key: &str| match left.contains(key) {
                    true => KeyIsRepaired::No,
                    false if key == lane.1 => KeyIsRepaired::Now,
                    false => KeyIsRepaired::Before,
                };
                let parts = parts_as(&alone, through, is_repaired).repaired_by(replay, false);
                let plan = planned_among(&lived, (&lane, &alone[&lane]), &parts);
                append(&mut lived, replay, (&lane, &alone[&lane]), plan);
            }
            assert_eq!(lived.statuses, other.statuses, "seed {seed}, {name}, {old} to {new}: {numbers:?}");
        }
    }
}

/// How many writes of one part are looked at where many keys differ in it: for the plan, and by an application of it.
fn looked_at(keys: usize) -> [usize; 2] {
    let numbers: Vec<(String, u64)> =
        [22, 66, 22].iter().flat_map(|n| (0..keys).map(move |key| (format!("k{key}"), *n))).collect();
    let new = totals(0);
    let mut lived = live(totals(3), &numbers);
    let (replay, alone, through) = (asked(&mut lived), lived.examine(&new, None), lived.log.head());
    assert_eq!(alone.len(), keys);
    let parts = parts(&alone, through, |_| true).repaired_by(replay, false);
    for one in &alone {
        planned_among(&lived, one, &parts);
    }
    let planned = lived.looked_at.replace(0);
    for (lane, examined) in &alone {
        let plan = planned_among(&lived, (lane, examined), &parts);
        append(&mut lived, replay, (lane, examined), plan);
    }
    assert_eq!(lived.statuses, live(new, &numbers).statuses);
    [planned, lived.looked_at.get()]
}

#[test]
fn a_part_of_many_keys_is_looked_at_in_proportion_to_their_number() {
    let ([planned, applied], [planned_more, applied_more]) = (looked_at(30), looked_at(120));
    assert!(planned_more <= 5 * planned && applied_more <= 5 * applied, "{:?}", (looked_at(30), looked_at(120)));
}
