//! Calls and their attempts, out of records as data.

use weirgate_types::{AttemptFailure, Correction, Digest, Effects, FailureKind, StepAnswer, StepRequest, StepResult};

use super::*;

fn delivery(position: u64) -> DeliveryId {
    DeliveryId { handler: "a".parse().expect("a name"), position: Position(position) }
}

fn attempted(position: u64, attempt: u32, call: u64) -> Record {
    let (version, call) = (Position(1), Position(call));
    Record::Attempted { delivery: delivery(position), attempt, version, call, at_ms: 1_000, wall_behind_ms: 300 }
}

fn commit(position: u64, attempt: u32, outcome: Outcome) -> Commit {
    Commit {
        handler: delivery(position).handler,
        event: Position(position),
        key: "k".into(),
        attempt,
        version: Position(1),
        digest: Digest([0; 32]),
        at_ms: 1_000,
        outcome,
        depth: 1,
        effects: Effects::default(),
        log: Vec::new(),
        cpu_us: 0,
        reproducible: true,
        reads: Vec::new(),
        state_version: 1,
        migrated_from: None,
    }
}

fn retry() -> Outcome {
    let failure = AttemptFailure::found(FailureKind::Handler, "later");
    Outcome::Retry { delay_ms: 1, due_ms: 1, stage: 0, spent: true, previous: None, failure }
}

fn stepped(position: u64, attempt: u32, status: u16) -> Record {
    let request = StepRequest { method: "GET".into(), url: "https://a.example/".into(), digest: Digest([0; 32]) };
    let result = StepResult::Answered(StepAnswer { status, headers: Vec::new(), body: Vec::new() });
    let (delivery, step) = (delivery(position), "s".to_owned());
    Record::Stepped(Stepped { delivery, attempt, step, request, result, requests: 1, previous: None, at_ms: 1_000 })
}

fn decided(position: u64, command: DeliveryCommand, carried: Carried) -> Record {
    let (actor, reason, key) = ("a".to_owned(), String::new(), "k".to_owned());
    let (delivery, emitted) = (delivery(position), Vec::new());
    Record::DeliveryDecided(DeliveryDecided { delivery, key, command, carried, actor, reason, at_ms: 1_000, emitted })
}

fn deployed(finishing: &[u64]) -> Record {
    Record::Deployed(Deployed {
        handler: delivery(5).handler,
        digest: Digest([0; 32]),
        manifest: "{}".into(),
        actor: "a".into(),
        reason: String::new(),
        copied_from: None,
        finishing: finishing.iter().copied().map(Position).collect(),
        at_ms: 1_000,
        wall_ms: 1_000,
    })
}

/// The calls that end, with the position of the record that ends them.
fn ended(records: &[Record]) -> Vec<(u64, EndedCall)> {
    let mut attempts = Attempts::default();
    let positions = (10_u64..).step_by(1);
    let calls = records.iter().zip(positions).flat_map(|(record, position)| {
        attempts.apply(Position(position), record).into_iter().map(move |call| (position, call))
    });
    calls.collect()
}

#[test]
fn an_attempt_has_its_own_calls_and_the_answers_of_earlier_ones() {
    let calls = ended(&[
        attempted(2, 1, 2),
        stepped(2, 1, 503),
        stepped(2, 1, 200),
        Record::Committed(commit(2, 1, retry())),
        attempted(2, 2, 2),
        stepped(2, 2, 500),
        Record::Committed(commit(2, 2, Outcome::Completed)),
    ]);
    let [(13, first), (16, second)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(first[0].begun.steps, [Position(11), Position(12)]);
    assert_eq!((first[0].begun.carried.step, first[0].begun.wall_ms), (None, 700));
    assert_eq!((&second[0].begun.steps, second[0].begun.carried.step), (&vec![Position(15)], Some(Position(12))));
    assert_eq!((second[0].begun.at, second[0].commit), (Position(14), Some(Position(16))));
}

/// A step that a discarded attempt still finished is known to the next attempt that begins, and not to the running one.
#[test]
fn a_late_answer_belongs_to_later_attempts() {
    let calls = ended(&[
        attempted(2, 1, 2),
        attempted(2, 2, 2),
        stepped(2, 1, 200),
        Record::Committed(commit(2, 2, retry())),
        attempted(2, 3, 2),
        Record::Committed(commit(2, 3, Outcome::Completed)),
    ]);
    let carried: Vec<_> = calls.iter().map(|(_, call)| (call[0].begun.attempt, call[0].begun.carried.step)).collect();
    assert_eq!(carried, [(1, None), (2, None), (3, Some(Position(12)))]);
    assert_eq!(calls[0].1[0].commit, None, "discarded");
    assert_eq!(calls[1].1[0].begun.steps, []);
}

#[test]
fn a_call_ends_with_its_last_attempt() {
    let calls = ended(&[
        attempted(2, 1, 2),
        attempted(3, 1, 2),
        attempted(4, 1, 4),
        Record::Batched(vec![commit(2, 1, Outcome::Completed)]),
        Record::Committed(commit(4, 1, Outcome::Completed)),
        Record::Batched(vec![commit(3, 1, Outcome::Completed)]),
    ]);
    let items: Vec<Vec<_>> =
        calls.iter().map(|(_, call)| call.iter().map(|one| one.begun.delivery.position.0).collect()).collect();
    assert_eq!(items, [vec![4], vec![2, 3]]);
}

/// The first delivery of a discarded batch begins anew alone, the second in another call.
#[test]
fn a_discarded_batch_is_no_part_of_later_calls() {
    let calls = ended(&[
        attempted(2, 1, 2),
        attempted(3, 1, 2),
        attempted(2, 2, 2),
        Record::Committed(commit(2, 2, Outcome::Completed)),
        attempted(3, 2, 3),
        Record::Committed(commit(3, 2, Outcome::Completed)),
    ]);
    let items = |call: &EndedCall| -> Vec<_> {
        call.iter().map(|one| (one.begun.delivery.position.0, one.begun.attempt, one.commit.is_some())).collect()
    };
    let calls: Vec<_> = calls.iter().map(|(_, call)| items(call)).collect();
    assert_eq!(calls, [vec![(2, 1, false), (3, 1, false)], vec![(2, 2, true)], vec![(3, 2, true)]]);
}

#[test]
fn a_correction_stays_until_the_delivery_is_closed() {
    let correct = DeliveryCommand::Correct(Correction { data: Vec::new(), data_content_type: None, event: None });
    let dead = || Outcome::DeadLettered {
        held: false,
        carried: Carried::default(),
        state: Vec::new(),
        failure: AttemptFailure::found(FailureKind::Handler, "no"),
    };
    let reopened = Carried { step: Some(Position(5)), steps: 1, correction: Some(Position(6)), failure: None };
    let calls = ended(&[
        decided(2, correct, Carried::default()),
        attempted(2, 1, 2),
        Record::Committed(commit(2, 1, dead())),
        attempted(2, 2, 2),
        Record::Committed(commit(2, 2, dead())),
        decided(2, DeliveryCommand::Retry, reopened.clone()),
        attempted(2, 3, 2),
        Record::Committed(commit(2, 3, Outcome::Completed)),
    ]);
    let carried: Vec<_> = calls.iter().map(|(_, call)| call[0].begun.carried.clone()).collect();
    assert_eq!(carried[0].correction, Some(Position(10)));
    assert_eq!((&carried[1], &carried[2]), (&Carried::default(), &reopened));
}

#[test]
fn a_deployment_discards_what_runs_unless_its_version_finishes_it() {
    let commits = |finishing: &[u64]| {
        let records = [attempted(5, 1, 5), deployed(finishing), Record::Committed(commit(5, 1, Outcome::Completed))];
        let ended = ended(&records).into_iter();
        ended.flat_map(|(at, call)| call.into_iter().map(move |one| (at, one.commit))).collect::<Vec<_>>()
    };
    assert_eq!(commits(&[]), [(11, None)]);
    assert_eq!(commits(&[2]), [(11, None)], "it is another version that finishes");
    assert_eq!(commits(&[1]), [(12, Some(Position(12)))]);
}
