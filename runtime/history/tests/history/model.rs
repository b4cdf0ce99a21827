//! What a look at the history finds, against a scan of the whole log.

use std::collections::BTreeMap;

use weirgate_history::{KeyState, Look, StateAsOf};
use weirgate_log::LogReader;
use weirgate_types::{BreakerId, HandlerName, Position, Record, ReplayAnswered, Stepped};

use super::{
    plan::{HANDLERS, KEYS, NAMES},
    *,
};

pub type Records = Vec<(Position, Record)>;
/// A handler and a key.
type Lane = (HandlerName, String);

pub fn records(log: &LogReader) -> Records {
    log.scan(Position::ZERO).map(|read| read.expect("a record")).collect()
}

/// The key of a delivered event.
fn key_of(records: &Records, position: Position) -> Option<String> {
    let covering = records.iter().rev().find(|(first, _)| *first <= position)?;
    covering.1.event_at(position.0 - covering.0.0).map(|event| event.key().to_owned())
}

/// The lanes that a record belongs to.
fn lanes(records: &Records, record: &Record) -> Vec<Lane> {
    let lane = |handler: &HandlerName, key: &str| vec![(handler.clone(), key.to_owned())];
    match record {
        Record::Attempted { delivery, .. }
        | Record::Stepped(Stepped { delivery, .. })
        | Record::ReplayAnswered(ReplayAnswered { delivery, .. }) => {
            key_of(records, delivery.position).map_or_else(Vec::new, |key| lane(&delivery.handler, &key))
        }
        Record::DeliveryDecided(decided) => lane(&decided.delivery.handler, &decided.key),
        Record::Released { delivery, key, .. } => lane(&delivery.handler, key),
        Record::GapPassed(gap) => lane(&gap.delivery.handler, &gap.key),
        Record::CorrectionRefused(refused) => lane(&refused.delivery.handler, &refused.key),
        Record::Fired { timer, .. } => lane(&timer.handler, &timer.key),
        other => other.effects().flat_map(|written| lane(written.handler, written.key)).collect(),
    }
}

/// Whether a record is about handlers, and the one that it is about.
fn handler_of(record: &Record) -> (bool, Option<&HandlerName>) {
    match record {
        Record::Deployed(deployed) => (true, Some(&deployed.handler)),
        Record::ModeChanged(changed) => (true, Some(&changed.handler)),
        Record::Removed(removed) => (true, Some(&removed.handler)),
        Record::BreakerChanged(changed) => match &changed.breaker {
            BreakerId::Handler(handler) => (true, Some(handler)),
            BreakerId::Host(host) => (true, host.handler.as_ref()),
        },
        Record::ReplayRequested(requested) => (true, Some(&requested.handler)),
        Record::ReplayApproved(approved) => (true, Some(&approved.handler)),
        Record::ReplayEnded(ended) => (true, Some(&ended.handler)),
        Record::ApplyBegun(begun) => (true, Some(&begun.handler)),
        Record::UndoRequested(requested) => (true, Some(&requested.handler)),
        Record::RepairsRefused(refused) => (true, Some(&refused.handler)),
        Record::RuntimeChanged(_) => (true, None),
        _ => (false, None),
    }
}

fn state_at(records: &Records, handler: &HandlerName, key: &str, until: Position) -> KeyState {
    let mut state = BTreeMap::new();
    for (_, record) in records.iter().take_while(|(position, _)| *position <= until) {
        if matches!(record, Record::Removed(removed) if removed.handler == *handler) {
            state.clear();
        }
        for written in record.effects().filter(|written| written.handler == handler && written.key == key) {
            for write in &written.effects.state {
                match &write.value {
                    Some(value) => drop(state.insert(write.name.clone(), value.clone())),
                    None => drop(state.remove(&write.name)),
                }
            }
        }
    }
    state
}

/// Asks for everything at some positions.
pub fn check(look: &Look, records: &Records, step: usize, case: &str) {
    let handlers = HANDLERS.map(|name| name.parse::<HandlerName>().expect("a name"));
    let lanes: Vec<_> = records.iter().map(|(_, record)| lanes(records, record)).collect();
    let of = |handler: Option<&HandlerName>, key: &str| -> Vec<Position> {
        let is_its = |lane: &Lane| lane.1 == key && handler.is_none_or(|handler| lane.0 == *handler);
        let found = records.iter().zip(&lanes).filter(|(_, lanes)| lanes.iter().any(is_its));
        found.map(|((position, _), _)| *position).collect()
    };
    let all_handlers: Vec<_> =
        records.iter().filter(|(_, record)| handler_of(record).0).map(|(position, _)| *position).collect();
    for at in (0..=records.len()).step_by(step) {
        let after = at.checked_sub(1).map_or(Position::ZERO, |at| records[at].0);
        let later = |positions: &[Position], limit: usize| -> Vec<Position> {
            positions.iter().copied().filter(|position| *position > after).take(limit).collect()
        };
        let limit = [1, 3, usize::MAX][at % 3];
        assert_eq!(look.of_handlers(after, limit).expect("positions"), later(&all_handlers, limit), "{case}");
        for key in KEYS {
            let events = records.iter().flat_map(|(first, record)| record.events(*first));
            let mut positions: Vec<_> = events.filter(|(_, event)| event.key() == key).map(|(at, _)| at).collect();
            positions.extend(of(None, key));
            positions.sort_unstable();
            positions.dedup();
            assert_eq!(look.of_key(key, after, limit).expect("positions"), later(&positions, limit), "{case} {key}");
            for handler in &handlers {
                let of_lane = of(Some(handler), key);
                assert_eq!(look.of_lane(handler, key, after, limit).expect("positions"), later(&of_lane, limit));
                let before = of_lane.iter().copied().rfind(|position| *position < after);
                assert_eq!(look.of_lane_before(handler, key, after).expect("a position"), before, "{case} {key}");
                let state = state_at(records, handler, key, after);
                assert_eq!(
                    look.state_at(handler, key, after).expect("a state"),
                    state,
                    "{case} {handler} {key} {after}"
                );
                for name in NAMES {
                    let found = look.value_before(handler, key, name, after.next()).expect("a value");
                    assert_eq!(found.as_ref(), state.get(name), "{case} {handler} {key} {name} {after}");
                }
            }
        }
        for handler in &handlers {
            let of_handler = |(_, record): &&(Position, Record)| handler_of(record).1 == Some(handler);
            let of_handler: Vec<_> = records.iter().filter(of_handler).map(|(at, _)| *at).collect();
            let before = |all: &[Position]| all.iter().copied().rfind(|at| *at < after);
            assert_eq!(look.of_handler_before(handler, after).expect("a position"), before(&of_handler), "{case}");
            assert_eq!(look.of_handler(handler, after, limit).expect("positions"), later(&of_handler, limit), "{case}");
            let has_its = |record: &Record| record.commits().iter().any(|commit| commit.handler == *handler);
            let commits: Vec<_> = records.iter().filter(|(_, record)| has_its(record)).map(|(at, _)| *at).collect();
            assert_eq!(look.of_commits(handler, after, limit).expect("positions"), later(&commits, limit), "{case}");
            assert_eq!(look.of_commits_before(handler, after).expect("a position"), before(&commits), "{case}");
        }
        let is_lost = |(_, record): &&(Position, Record)| matches!(record, Record::Lost(_));
        let lost = records.iter().filter(is_lost).map(|(at, _)| *at).rfind(|at| *at < after);
        assert_eq!(look.lost_before(after).expect("a position"), lost, "{case}");
    }
}

/// Few segments: all is found without any file, too.
#[test]
fn everything_is_found_with_files_and_without() {
    for seed in 0..6 {
        let (disk, mut chance) = (SimStorage::new(), Chance(seed));
        let mut log = open_log(&disk);
        let tables = SimStorage::new();
        let history = open_history(&tables, &log);
        let mut made = Vec::new();
        for round in 0..4 {
            append(&mut log, &mut chance, 40);
            let all = records(&log.reader());
            check(&history.look(), &all, 7, &format!("seed {seed}, round {round}, without"));
            made.extend(make_all(&history));
            check(&history.look(), &all, 7, &format!("seed {seed}, round {round}, with"));
            check(&open_history(&tables, &log).look(), &all, 11, &format!("seed {seed}, round {round}, again"));
        }
        let snapshots = made.iter().filter(|made| matches!(made, Made::Snapshot(_))).count();
        assert!(snapshots > 0 && made.len() - snapshots == log.reader().sealed().len(), "seed {seed}: {made:?}");
    }
}

#[test]
fn a_walk_begins_anywhere_and_sees_each_state() {
    let (disk, mut chance) = (SimStorage::new(), Chance(77));
    let mut log = open_log(&disk);
    append(&mut log, &mut chance, 200);
    let history = open_history(&SimStorage::new(), &log);
    make_all(&history);
    let all = records(&log.reader());
    let handlers = HANDLERS.map(|name| name.parse::<HandlerName>().expect("a name"));
    for start in (0..all.len()).step_by(31) {
        let begin = start.checked_sub(1).map_or(Position::ZERO, |before| all[before].0);
        let mut state = StateAsOf::new(history.look(), begin);
        for (position, record) in &all[start..all.len().min(start + 20)] {
            let key = KEYS[usize::try_from(chance.below(5)).expect("small")];
            let handler = &handlers[usize::try_from(chance.below(3)).expect("small")];
            let expected = state_at(&all, handler, key, state.through());
            assert_eq!(*state.of(handler, key).expect("a state"), expected, "{start} {position}");
            state.apply(*position, record);
            assert_eq!(state.through(), *position);
        }
    }
}

#[test]
fn questions_wait_while_many_segments_have_no_index() {
    let (disk, mut chance) = (SimStorage::new(), Chance(3));
    let mut log = open_log(&disk);
    let history = open_history(&SimStorage::new(), &log);
    while log.reader().sealed().len() <= 8 {
        append(&mut log, &mut chance, 1);
    }
    let asked = history.look().of_key("o", Position::ZERO, usize::MAX);
    assert!(matches!(asked, Err(weirgate_history::HistoryError::NotReady { missing: 9, segments: 9 })), "{asked:?}");
    assert_eq!(history.make_next(&|_| true).expect("made"), Made::Index(Position(1)));
    history.look().of_key("o", Position::ZERO, usize::MAX).expect("an answer");
}
