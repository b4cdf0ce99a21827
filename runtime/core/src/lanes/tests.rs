//! Which deliveries run when, and which are spilled.

use super::*;
use crate::Sequence;

/// The default limit.
const LANE_MAX: usize = 64;

fn row(key: u64) -> DeliveryRow {
    DeliveryRow::new(KeyHash(key), KeyHash(key))
}

fn lanes(deliveries: &[(u64, u64)]) -> Lanes {
    let mut lanes = Lanes::new(LANE_MAX);
    for (position, key) in deliveries {
        lanes.insert(Position(*position), row(*key));
    }
    lanes
}

fn retry(lanes: &mut Lanes, position: Position, due_ms: u64) {
    lanes.change(position, |row| row.phase = DeliveryPhase::Retrying { due_ms, stage: 0 });
}

fn runnable(lanes: &Lanes) -> Vec<u64> {
    lanes.open.keys().filter(|position| lanes.queues.is_runnable(**position)).map(|position| position.0).collect()
}

#[test]
fn only_the_first_of_each_key_may_run() {
    let mut lanes = lanes(&[(1, 7), (2, 7), (3, 8)]);
    assert_eq!(runnable(&lanes), [1, 3]);
    lanes.change(Position(1), |row| row.start(1, Position(1)));
    assert_eq!(runnable(&lanes), [3]);
    lanes.close(Position(1));
    assert_eq!(runnable(&lanes), [2, 3]);
}

/// The search for deliveries to spill does not scan those that must stay in memory: its work does not grow with them.
#[test]
fn spilling_does_not_scan_deliveries_that_stay_in_memory() {
    for waiting in [1_000, 10_000] {
        let mut lanes = lanes(&[]);
        for position in 1..=waiting {
            let parallel = DeliveryRow { parallel: true, phase: DeliveryPhase::AwaitingCorrection, ..row(7) };
            let offered = DeliveryRow {
                phase: DeliveryPhase::AwaitingCorrection,
                offered: Some(Position(99_999)),
                ..row(position)
            };
            lanes.insert(Position(position), if position % 2 == 0 { parallel } else { offered });
        }
        lanes.insert(
            Position(50_000),
            DeliveryRow { phase: DeliveryPhase::Retrying { due_ms: 5, stage: 0 }, ..row(50_000) },
        );
        let looks = std::cell::Cell::new(0);
        let chosen = lanes.queues.longest_waiting(|position| {
            looks.set(looks.get() + 1);
            lanes.is_movable(*position)
        });
        assert_eq!((chosen, looks.get()), (Some(Position(50_000)), 1), "{waiting} that stay");
        assert_eq!(lanes.spill_excess(0).len(), 1);
        assert_eq!(lanes.queues.longest_waiting(|_| panic!("{waiting} that stay are looked at")), None);
    }
}

#[test]
fn deliveries_leave_the_middle_of_a_lane() {
    let mut lanes = lanes(&[]);
    for position in 1..=9 {
        lanes.insert(Position(position), DeliveryRow { parallel: true, ..row(7) });
    }
    for gone in [5, 9, 1, 4] {
        assert!(lanes.close(Position(gone)).is_some());
    }
    assert_eq!(lanes.of_lane(KeyHash(7)), [2, 3, 6, 7, 8].map(Position));
    assert_eq!(lanes.first_of_lane(KeyHash(7)), Some(Position(2)));
}

#[test]
fn a_retrying_delivery_holds_its_key_and_no_other() {
    let mut lanes = lanes(&[(1, 7), (2, 7), (3, 8)]);
    lanes.change(Position(1), |row| row.start(1, Position(1)));
    retry(&mut lanes, Position(1), 50);
    assert_eq!(runnable(&lanes), [3]);
    let states: Vec<_> = lanes.states(Position::ZERO).map(|(_, _, state)| state).collect();
    let blocked = DeliveryState::Blocked(Position(1));
    assert_eq!(states, [DeliveryState::Retrying { due_ms: 50 }, blocked, DeliveryState::Ready]);
    lanes.release_due(49);
    assert_eq!(runnable(&lanes), [3]);
    lanes.release_due(50);
    assert_eq!(runnable(&lanes), [1, 3]);
}

#[test]
fn a_reopened_older_delivery_comes_first_but_not_before_a_running_one() {
    let mut waiting = lanes(&[(5, 7), (6, 7)]);
    waiting.insert(Position(2), row(7));
    assert_eq!(runnable(&waiting), [2]);

    let mut busy = lanes(&[(5, 7), (6, 7)]);
    busy.change(Position(5), |row| row.start(1, Position(1)));
    busy.insert(Position(2), row(7));
    assert_eq!(runnable(&busy), [] as [u64; 0]);
    busy.close(Position(5));
    assert_eq!(runnable(&busy), [2]);
}

#[test]
fn a_running_delivery_is_first_of_its_lane_in_any_reload_order() {
    let mut lanes = lanes(&[(2, 7)]);
    lanes.insert(Position(5), DeliveryRow { attempt: 1, phase: DeliveryPhase::Running, ..row(7) });
    assert_eq!((runnable(&lanes), lanes.running()), (vec![], 1));
    retry(&mut lanes, Position(5), 10);
    assert_eq!(runnable(&lanes), [2], "the older one goes first once the other does not run any more");
    lanes.release_due(10);
    assert_eq!(runnable(&lanes), [2]);
    lanes.close(Position(2));
    lanes.release_due(10);
    assert_eq!(runnable(&lanes), [5]);
}

#[test]
fn counts_return_to_zero() {
    let mut lanes = lanes(&[(1, 7), (2, 7)]);
    for position in [1, 2].map(Position) {
        lanes.change(position, |row| row.start(1, Position(1)));
        retry(&mut lanes, position, 1);
        lanes.release_due(1);
        lanes.change(position, |row| row.start(2, Position(1)));
        assert_eq!(lanes.running(), 1);
        lanes.close(position);
    }
    assert_eq!((lanes.in_memory(), lanes.running(), lanes.active(), lanes.by_key.len()), (0, 0, 0, 0));
}

#[test]
fn a_long_lane_keeps_its_first_in_memory_and_the_rest_on_disk() {
    let mut lanes = Lanes::new(LANE_MAX);
    let placed: Vec<_> = (1..=100).map(|position| lanes.insert(Position(position), row(7))).collect();
    let in_memory = placed.iter().filter(|placed| **placed == Inserted::InMemory).count();
    assert_eq!((in_memory, lanes.len(), lanes.spilled.rows()), (LANE_MAX, 100, 100 - LANE_MAX));
    for position in 1..=LANE_MAX as u64 {
        assert!(lanes.spilled.take_wanted(9).is_empty(), "not before memory has none of it");
        lanes.close(Position(position));
    }
    assert_eq!(lanes.spilled.take_wanted(9), [KeyHash(7)]);
    assert_eq!(lanes.insert(Position(101), row(7)), Inserted::Spilled, "it does not overtake those on disk");
}

#[test]
fn the_longest_waits_are_spilled_first() {
    let mut lanes = lanes(&[(1, 1), (2, 2), (3, 3), (4, 3), (5, 5)]);
    for (position, due_ms) in [(1, 30), (2, 10), (3, 20)] {
        retry(&mut lanes, Position(position), due_ms);
    }
    let spilled: Vec<_> = lanes.spill_excess(3).into_iter().map(|(position, _)| position.0).collect();
    assert_eq!(spilled, [1]);
    assert_eq!((lanes.spilled.next_due_ms().retries, runnable(&lanes)), (Some(30), vec![5]));
    let spilled: Vec<_> = lanes.spill_excess(2).into_iter().map(|(position, _)| position.0).collect();
    assert_eq!(spilled, [3, 4], "a lane goes whole");
    assert_eq!(
        (lanes.spilled.next_due_ms().retries, lanes.next_due_ms(9), lanes.next_due_ms(1)),
        (Some(20), Some(10), Some(10))
    );
}

#[test]
fn retries_due_at_once_get_every_fourth_slot() {
    let mut lanes = lanes(&[(1, 1), (2, 2), (3, 3), (11, 11), (12, 12), (13, 13), (14, 14)]);
    for position in [1, 2, 3].map(Position) {
        lanes.change(position, |row| row.start(1, Position(1)));
        retry(&mut lanes, position, 1);
    }
    lanes.release_due(1);
    let order: Vec<_> = std::iter::from_fn(|| lanes.pop_runnable()).map(|position| position.0).collect();
    assert_eq!(order, [11, 12, 13, 1, 14, 2, 3]);
}

#[test]
fn a_gap_is_passed_once() {
    let numbered = |number| DeliveryRow { sequence: Some(Sequence { number: Some(number), due_ms: 9 }), ..row(7) };
    let mut lanes = Lanes::new(LANE_MAX).resequencing(Some(1));
    lanes.insert(Position(1), numbered(3));
    assert_eq!(
        (lanes.spilled.take_wanted(9), lanes.next_gap_ms(9)),
        (vec![KeyHash(7)], None),
        "what is next is not known"
    );
    lanes.learn_next(KeyHash(7), None);
    assert_eq!((lanes.pop_gap(8), lanes.pop_gap(9)), (None, Some((Position(1), 1, 3))));
    // Before the record is staged, another delivery comes to the lane.
    lanes.insert(Position(2), numbered(5));
    assert_eq!((lanes.pop_gap(9), runnable(&lanes)), (None, vec![]));
    assert!(lanes.gap_passed(Position(1), KeyHash(7), 3).is_some());
    assert_eq!(runnable(&lanes), [1]);
    lanes.close(Position(1));
    assert_eq!(lanes.pop_gap(9), Some((Position(2), 3, 5)));
}

#[test]
fn running_deliveries_are_never_spilled() {
    let mut lanes = Lanes::new(1);
    lanes.insert(Position(1), row(7));
    let mut running = row(7);
    running.start(1, Position(1));
    assert_eq!(lanes.insert(Position(2), running), Inserted::InMemory);
    assert_eq!(lanes.running_now(), [Position(2)]);
}

#[test]
fn a_due_lane_is_reloaded_after_a_restart() {
    for (leads, wanted) in [(true, vec![]), (false, vec![KeyHash(7)])] {
        let mut lanes = Lanes::new(1);
        let phase = DeliveryPhase::Retrying { due_ms: 5, stage: 0 };
        lanes.restore_spilled(&DeliveryRow { spilled: true, leads, phase, ..row(7) });
        lanes.restore_spilled(&DeliveryRow { spilled: true, ..row(7) });
        assert_eq!((lanes.spilled.next_due_ms().retries.is_some(), lanes.spilled.take_wanted(9)), (leads, wanted));
    }
}
