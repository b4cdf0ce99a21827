//! Records of each kind, and their parts.

use weirgate_types::{
    Anchor, ApplyBegun, AttemptFailure, BreakerChanged, BreakerId, Carried, Commit, Correction, CorrectionRefused,
    DeliveryCommand, DeliveryDecided, DeliveryId, Deployed, Digest, Effects, Event, FailureClass, FailureKind,
    GapPassed, HandlerName, LogLevel, LogLine, Lost, Mode, ModeChanged, Outcome, Position, Record, Removed,
    RepairRefused, Repaired, RepairsRefused, ReplayAnswered, ReplayApproved, ReplayEnd, ReplayEnded, ReplayRequested,
    RuntimeChanged, RuntimeVersion, StateReads, StateWrite, StatusWrite, StepAnswer, StepRequest, StepResult, Stepped,
    TimerId, TimerSetting, TimerWrite, UndoRequested,
};

/// The handler that all records are about.
#[must_use]
pub fn handler() -> HandlerName {
    "inventory".parse().unwrap_or_else(|_| unreachable!("it is a name"))
}

/// An event with this data.
#[must_use]
pub fn event(data: Vec<u8>) -> Event {
    Event {
        id: "e-1".into(),
        source: "/shop".into(),
        r#type: "order.placed".into(),
        subject: Some("order/o-1".into()),
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: [("partitionkey".to_owned(), "o-1".into())].into(),
        implied_key: None,
        data,
    }
}

/// A commit with so many emissions, and a state that it writes.
#[must_use]
pub fn commit(emitted: usize, value: Vec<u8>) -> Record {
    Record::Committed(Commit {
        handler: handler(),
        event: Position(1),
        key: "o-1".into(),
        attempt: 1,
        version: Position(1),
        digest: Digest([7; 32]),
        at_ms: 1_700_000_000_000,
        outcome: Outcome::Completed,
        depth: 2,
        effects: Effects {
            state: vec![
                StateWrite { name: "stock".into(), value: Some(value) },
                StateWrite { name: "old".into(), value: None },
            ],
            status: vec![StatusWrite {
                subject: "order/o-1".into(),
                state: "reserved".into(),
                text: "Reserved".into(),
                data: Some("{}".into()),
            }],
            emitted: vec![event(b"{\"n\":1}".to_vec()); emitted],
            timers: vec![
                TimerWrite { name: "deadline".into(), set: Some(timer()) },
                TimerWrite { name: "reminder".into(), set: None },
            ],
            withheld: Vec::new(),
        },
        log: vec![LogLine { level: LogLevel::Info, message: "hello".into() }],
        cpu_us: 300,
        reproducible: true,
        reads: vec![StateReads { count: 2, as_of: Position(1) }],
        state_version: 2,
        migrated_from: Some(1),
    })
}

fn timer() -> TimerSetting {
    let (r#type, data) = ("order.payment-overdue".into(), b"{}".to_vec());
    TimerSetting { due_ms: 1_700_000_600_000, r#type, data_content_type: None, data }
}

fn failed(outcome: impl Fn(AttemptFailure) -> Outcome) -> Record {
    let failure = AttemptFailure {
        class: FailureClass::Correctable,
        kind: FailureKind::Handler,
        message: "no such article".into(),
        what_is_wrong: Some("article".into()),
        retry_after_ms: Some(1000),
    };
    let Record::Committed(commit) = commit(0, Vec::new()) else { unreachable!("a commit") };
    Record::Committed(Commit { outcome: outcome(failure), effects: Effects::default(), ..commit })
}

/// One record of each kind, and of each outcome and command.
#[expect(clippy::too_many_lines, reason = "a table")]
#[must_use]
pub fn every_record() -> Vec<Record> {
    let delivery = DeliveryId { handler: handler(), position: Position(1) };
    let at_ms = 1_700_000_000_000;
    let manifest = "{\"name\":\"inventory\"}".to_owned();
    let carried =
        Carried { step: Some(Position(3)), steps: 1, correction: Some(Position(4)), failure: Some(Position(2)) };
    let state = vec![StateWrite { name: "stock".into(), value: Some(vec![1]) }];
    let (actor, reason, key) = ("support".to_owned(), "a new card".to_owned(), "o-1".to_owned());
    let (notice, handler_id) = (event(Vec::new()), BreakerId::Handler(handler()));
    let correction = Correction { data: b"{}".to_vec(), data_content_type: None, event: Some(Position(4)) };
    let decided = |command| {
        let (delivery, key, carried) = (delivery.clone(), key.clone(), carried.clone());
        let emitted = vec![event(Vec::new())];
        Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
            emitted,
        })
    };
    let previous = Some(Position(2));
    let withheld = Effects { withheld: vec![event(vec![1])], ..Effects::default() };
    let Record::Committed(one) = commit(1, vec![1]) else { unreachable!("a commit") };
    let timer = TimerId { handler: handler(), key: key.clone(), name: "deadline".into() };
    let answer = StepAnswer { status: 200, headers: vec![("etag".into(), "1".into())], body: b"ok".to_vec() };
    let stepped = |result| {
        let request =
            StepRequest { method: "POST".into(), url: "https://pay.example/".into(), digest: Digest([8; 32]) };
        let (delivery, step) = (delivery.clone(), "charge".to_owned());
        Record::Stepped(Stepped { delivery, attempt: 1, step, request, result, requests: 1, previous: None, at_ms })
    };
    let (open_until_ms, mode) = (Some(at_ms + 5_000), Mode::Paused);
    vec![
        Record::Accepted { event: event(b"{\"n\":1}".to_vec()), to: None, at_ms },
        Record::Attempted {
            delivery: delivery.clone(),
            attempt: 1,
            version: Position(1),
            call: Position(1),
            at_ms,
            wall_behind_ms: 300,
        },
        commit(2, vec![1, 2, 3]),
        Record::Accepted { event: event(Vec::new()), to: Some(handler()), at_ms },
        failed(|failure| Outcome::Retry {
            delay_ms: 1_000,
            due_ms: 1_700_000_001_000,
            stage: 1,
            spent: true,
            previous,
            failure,
        }),
        failed(|failure| Outcome::AwaitingCorrection { previous, failure }),
        failed(|failure| Outcome::DeadLettered { held: true, carried: carried.clone(), state: state.clone(), failure }),
        Record::Batched(vec![one.clone(), Commit { outcome: Outcome::Withheld, effects: withheld, ..one }]),
        Record::Deployed(Deployed {
            handler: handler(),
            digest: Digest([7; 32]),
            manifest,
            actor: actor.clone(),
            reason: reason.clone(),
            copied_from: Some(Position(3)),
            finishing: vec![Position(4), Position(7)],
            at_ms,
            wall_ms: at_ms,
        }),
        Record::ModeChanged(ModeChanged {
            handler: handler(),
            mode,
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
            notice: notice.clone(),
        }),
        decided(DeliveryCommand::Retry),
        decided(DeliveryCommand::Correct(correction)),
        decided(DeliveryCommand::Skip),
        decided(DeliveryCommand::Resolve),
        decided(DeliveryCommand::Discard),
        decided(DeliveryCommand::DeadLetter),
        Record::BreakerChanged(BreakerChanged {
            breaker: handler_id,
            open_ms: open_until_ms,
            open_until_ms,
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
            notice: notice.clone(),
        }),
        stepped(StepResult::Answered(answer)),
        stepped(StepResult::Denied("no such host".into())),
        stepped(StepResult::CircuitOpen(300)),
        Record::Fired { timer, due_ms: at_ms, next_ms: Some(at_ms), event: event(Vec::new()), at_ms },
        Record::Released {
            delivery: delivery.clone(),
            key: key.clone(),
            emitted: vec![event(Vec::new())],
            depth: 2,
            at_ms,
        },
        Record::Paced { slow: true, reason: reason.clone(), at_ms, notice: notice.clone() },
        Record::GapPassed(GapPassed {
            delivery: delivery.clone(),
            key: key.clone(),
            expected: 2,
            found: 300,
            at_ms,
            notice: notice.clone(),
        }),
        Record::CorrectionRefused(CorrectionRefused {
            delivery,
            key,
            correction: Position(9),
            reason: "it is too large".into(),
            at_ms,
            notice: Some(notice),
        }),
        Record::Lost(Lost { positions: 300, at_ms }),
        Record::TimeAnchored(Anchor { at_ms, elapsed_ms: 1 }),
        Record::RuntimeChanged(RuntimeChanged {
            runtime: RuntimeVersion { weirgate: "0.1.0".into(), wasm_engine: "wasmtime".into() },
            at_ms,
        }),
        Record::Removed(Removed { handler: handler(), actor, reason, at_ms }),
        repaired(Some(event(Vec::new()))),
        repaired(None),
    ]
    .into_iter()
    .chain(replay())
    .collect()
}

/// The records of a replay, except its repairs.
fn replay() -> [Record; 7] {
    let (replay, at_ms) = (Position(5), 1_700_000_000_000);
    let (actor, reason) = ("support".to_owned(), "the old version lost a line".to_owned());
    let request = StepRequest { method: "GET".into(), url: "https://tax.example/".into(), digest: Digest([8; 32]) };
    [
        Record::ReplayRequested(ReplayRequested {
            handler: handler(),
            request: "{}".into(),
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
        }),
        Record::ReplayApproved(ReplayApproved {
            replay,
            handler: handler(),
            plan: Digest([9; 32]),
            through: Position(300),
            choices: "{}".into(),
            undoes: false,
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
        }),
        Record::ReplayAnswered(ReplayAnswered {
            replay,
            delivery: DeliveryId { handler: handler(), position: Position(1) },
            step: "tax".into(),
            request,
            answer: StepAnswer { status: 200, headers: Vec::new(), body: b"7".to_vec() },
            at_ms,
        }),
        Record::ReplayEnded(ReplayEnded {
            replay,
            handler: handler(),
            end: ReplayEnd::Applied,
            repaired: 1,
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
        }),
        Record::ApplyBegun(ApplyBegun {
            replay,
            handler: handler(),
            approved: Position(301),
            undoes: false,
            actor: actor.clone(),
            reason: reason.clone(),
            at_ms,
        }),
        Record::UndoRequested(UndoRequested { replay, handler: handler(), actor, reason, at_ms }),
        Record::RepairsRefused(RepairsRefused {
            replay,
            handler: handler(),
            first: vec![RepairRefused { key: "order/o-1".into(), reason: "it is busy".into() }],
            count: 2,
            at_ms,
        }),
    ]
}

fn repaired(corrected: Option<Event>) -> Record {
    let Record::Committed(commit) = commit(2, vec![1]) else { unreachable!("a commit") };
    Record::Repaired(Box::new(Repaired {
        replay: Position(5),
        handler: commit.handler,
        key: commit.key,
        part: 0,
        version: Position(1),
        from: Position(1),
        through: Position(300),
        depth: commit.depth,
        effects: commit.effects,
        state_version: 2,
        unset: vec!["order/o-2".into()],
        corrected,
        is_undo: false,
        actor: "support".into(),
        reason: "the old version lost a line".into(),
        at_ms: commit.at_ms,
    }))
}
