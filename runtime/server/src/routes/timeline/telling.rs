//! Which entries a moment of a key's story has: pure functions of the record.

use weirgate_engine::Moment;
use weirgate_types::{
    BreakerChanged, Commit, DeliveryCommand, DeliveryDecided, DeliveryId, Deployed, Event, Mode, ModeChanged, Position,
    RUNTIME_TYPES, Record, Repaired, ReplayEnd, StateWrite, StepResult, Stepped, TimerWrite,
};

use super::{
    super::{
        attempts::{FailureItem, StatusItem, ended},
        failures::LogItem,
        shown::Shown,
        times::rfc3339,
    },
    entries::{
        AttemptBegan, AttemptEnded, BreakerEntry, DecisionEntry, DeliveryOf, DeployedEntry, EmittedItem, EventEntry,
        GapEntry, ModeEntry, RefusedEntry, ReleasedEntry, RepairedEntry, ReplayEntry, StateChange, StepEntry,
        TimelineEntry, TimerFired, TimerItem, What,
    },
};

/// Maximum number of characters that are shown of an event's data.
const DATA_CHARS_MAX: usize = 500;
/// Maximum number of characters that are shown of a state value.
const VALUE_CHARS_MAX: usize = 500;

/// The entries of a moment, in order.
pub fn entries(key: &str, moment: &Moment<'_>) -> Vec<TimelineEntry> {
    let at_ms = moment.record.at_ms();
    let all = what(key, moment).into_iter();
    all.map(|what| TimelineEntry { position: moment.position.0, at: rfc3339(at_ms), at_ms, what }).collect()
}

fn what(key: &str, moment: &Moment<'_>) -> Vec<What> {
    let Moment { position, first, record, .. } = *moment;
    if position != first {
        return event(record, first, position).into_iter().collect();
    }
    let one = match record {
        Record::Accepted { .. } => return event(record, first, position).into_iter().collect(),
        Record::Committed(_) | Record::Batched(_) => return attempts_ended(key, moment),
        Record::Attempted { delivery, attempt, version, .. } => {
            What::AttemptBegan(AttemptBegan { of: DeliveryOf::new(delivery), attempt: *attempt, version: version.0 })
        }
        Record::Stepped(stepped) => step(stepped),
        Record::Fired { timer, due_ms, event, .. } => What::TimerFired(TimerFired {
            handler: timer.handler.to_string(),
            name: timer.name.clone(),
            due_at: rfc3339(*due_ms),
            due_at_ms: *due_ms,
            r#type: event.r#type.clone(),
            data: Shown::of(&event.data, DATA_CHARS_MAX),
        }),
        Record::DeliveryDecided(decided) => decision(position, decided),
        Record::Released { delivery, emitted: events, .. } => What::Released(ReleasedEntry {
            of: DeliveryOf::new(delivery),
            emitted: emitted(events, Some(position.next())),
        }),
        Record::GapPassed(gap) => {
            What::GapPassed(GapEntry { of: DeliveryOf::new(&gap.delivery), expected: gap.expected, found: gap.found })
        }
        Record::CorrectionRefused(refused) => What::CorrectionRefused(RefusedEntry {
            of: DeliveryOf::new(&refused.delivery),
            correction: refused.correction.0,
            reason: refused.reason.clone(),
        }),
        Record::Deployed(one) => deployment(one),
        Record::ModeChanged(changed) => mode(changed),
        Record::Removed(removed) => What::ModeChanged(ModeEntry {
            handler: removed.handler.to_string(),
            mode: "removed",
            actor: removed.actor.clone(),
            reason: removed.reason.clone(),
        }),
        Record::BreakerChanged(changed) => breaker(changed),
        Record::Repaired(one) => What::Repaired(Box::new(repaired(one, moment))),
        Record::ReplayRequested(_)
        | Record::ReplayApproved(_)
        | Record::UndoRequested(_)
        | Record::ApplyBegun(_)
        | Record::ReplayEnded(_)
        | Record::Paced { .. }
        | Record::Lost(_)
        | Record::TimeAnchored(_)
        | Record::RuntimeChanged(_)
        | Record::ReplayAnswered(_)
        | Record::RepairsRefused(_) => return replay(position, record).into_iter().collect(),
    };
    vec![one]
}

fn deployment(deployed: &Deployed) -> What {
    What::Deployed(DeployedEntry {
        handler: deployed.handler.to_string(),
        digest: deployed.digest.to_string(),
        actor: deployed.actor.clone(),
        reason: deployed.reason.clone(),
    })
}

fn event(record: &Record, first: Position, position: Position) -> Option<What> {
    let offset = position.0.checked_sub(first.0)?;
    let found = record.event_at(offset)?;
    let to = match record {
        Record::Accepted { to, .. } => to.as_ref().map(ToString::to_string),
        _ => None,
    };
    Some(What::Event(EventEntry {
        id: found.id.clone(),
        source: found.source.clone(),
        r#type: found.r#type.clone(),
        subject: found.subject.clone(),
        data: Shown::of(&found.data, DATA_CHARS_MAX),
        to,
        emitted_by: emitter(record, offset).map(|delivery| delivery.to_string()),
        depth: record.depth_at(offset),
    }))
}

/// The delivery that emitted the record's event at this offset.
fn emitter(record: &Record, offset: u64) -> Option<DeliveryId> {
    let index = offset.checked_sub(1)?;
    match record {
        Record::Released { delivery, .. } => Some(delivery.clone()),
        Record::DeliveryDecided(decided) => Some(decided.delivery.clone()),
        _ => record.commit_emitting(index).map(Commit::delivery),
    }
}

/// The key's commits in a record. Events of a record follow it in the order of its commits, and so do the values before.
fn attempts_ended(key: &str, moment: &Moment<'_>) -> Vec<What> {
    let (mut next, mut before) = (moment.first.next(), moment.before.iter());
    let mut ended = Vec::new();
    for commit in moment.record.commits() {
        let values: Vec<_> = before.by_ref().take(commit.effects.state.len()).collect();
        if commit.key == key {
            ended.push(What::AttemptEnded(Box::new(attempt_ended(commit, next, &values))));
        }
        next = next.plus(commit.effects.emitted.len() as u64);
    }
    ended
}

fn attempt_ended(commit: &Commit, next: Position, before: &[&Option<Vec<u8>>]) -> AttemptEnded {
    let (outcome, due_ms, failure) = ended(&commit.outcome);
    let effects = &commit.effects;
    let mut events = emitted(&effects.emitted, Some(next));
    events.extend(emitted(&effects.withheld, None));
    AttemptEnded {
        of: DeliveryOf::new(&commit.delivery()),
        attempt: commit.attempt,
        version: commit.version.0,
        digest: commit.digest.to_string(),
        migrated_from: commit.migrated_from,
        outcome,
        next_attempt_at: due_ms.map(rfc3339),
        next_attempt_at_ms: due_ms,
        failure: failure.map(FailureItem::of),
        log: commit.log.iter().cloned().map(LogItem::from).collect(),
        state: state_changes(&effects.state, before),
        statuses: effects.status.iter().map(StatusItem::of).collect(),
        emitted: events,
        timers: effects.timers.iter().map(timer).collect(),
    }
}

/// `before`: the values that the writes replace.
fn state_changes(writes: &[StateWrite], before: &[&Option<Vec<u8>>]) -> Vec<StateChange> {
    let changes = writes.iter().enumerate().map(|(index, write)| StateChange {
        name: write.name.clone(),
        before: before.get(index).and_then(|value| value.as_ref()).map(|value| Shown::of(value, VALUE_CHARS_MAX)),
        after: write.value.as_ref().map(|value| Shown::of(value, VALUE_CHARS_MAX)),
    });
    changes.collect()
}

fn repaired(repaired: &Repaired, moment: &Moment<'_>) -> RepairedEntry {
    let effects = &repaired.effects;
    RepairedEntry {
        handler: repaired.handler.to_string(),
        replay: repaired.replay.0,
        part: repaired.part,
        is_undo: repaired.is_undo,
        from: repaired.from.0,
        through: repaired.through.0,
        actor: repaired.actor.clone(),
        reason: repaired.reason.clone(),
        state: state_changes(&effects.state, &moment.before.iter().collect::<Vec<_>>()),
        statuses: effects.status.iter().map(StatusItem::of).collect(),
        unset: repaired.unset.clone(),
        emitted: emitted(&effects.emitted, Some(moment.first.next())),
        timers: effects.timers.iter().map(timer).collect(),
        has_event: repaired.corrected.is_some(),
    }
}

/// A step of a replay, if the record is one. `position` names it if it is the request.
fn replay(position: Position, record: &Record) -> Option<What> {
    let (replay, handler, step, repaired, actor, reason) = match record {
        Record::ReplayRequested(one) => (position, &one.handler, "requested", None, &one.actor, &one.reason),
        Record::ReplayApproved(one) => {
            let step = if one.undoes { "undo-approved" } else { "approved" };
            (one.replay, &one.handler, step, None, &one.actor, &one.reason)
        }
        Record::UndoRequested(one) => (one.replay, &one.handler, "undo-requested", None, &one.actor, &one.reason),
        Record::ApplyBegun(one) => {
            let step = if one.undoes { "undo-begun" } else { "apply-begun" };
            (one.replay, &one.handler, step, None, &one.actor, &one.reason)
        }
        Record::ReplayEnded(one) => {
            let step = match one.end {
                ReplayEnd::Applied => "applied",
                ReplayEnd::Cancelled => "cancelled",
                ReplayEnd::Undone => "undone",
                ReplayEnd::InPart => "ended-in-part",
                ReplayEnd::UndoCancelled => "undo-cancelled",
            };
            (one.replay, &one.handler, step, Some(one.repaired), &one.actor, &one.reason)
        }
        _ => return None,
    };
    let (handler, replay) = (handler.to_string(), replay.0);
    let (actor, reason) = (actor.clone(), reason.clone());
    Some(What::Replay(ReplayEntry { handler, replay, step, repaired, actor, reason }))
}

fn timer(write: &TimerWrite) -> TimerItem {
    let due_ms = write.set.as_ref().map(|setting| setting.due_ms);
    TimerItem { name: write.name.clone(), due_at: due_ms.map(rfc3339), due_at_ms: due_ms }
}

/// Emitted events, `first` being the position of the first one. The runtime's notices take positions and are left out.
fn emitted(events: &[Event], first: Option<Position>) -> Vec<EmittedItem> {
    let numbered = (0..).zip(events).filter(|(_, event)| !event.r#type.starts_with(RUNTIME_TYPES));
    let item = |(index, event): (u64, &Event)| EmittedItem {
        position: first.map(|first| first.plus(index).0),
        id: event.id.clone(),
        r#type: event.r#type.clone(),
        key: event.key().to_owned(),
    };
    numbered.map(item).collect()
}

fn step(stepped: &Stepped) -> What {
    let (status, error) = match &stepped.result {
        StepResult::Answered(answer) => (Some(answer.status), None),
        StepResult::Denied(why) => (None, Some(format!("denied: {why}"))),
        StepResult::Unreachable(why) => (None, Some(format!("unreachable: {why}"))),
        StepResult::TimedOut => (None, Some("timed out".to_owned())),
        StepResult::TooLarge => (None, Some("the answer is too large".to_owned())),
        StepResult::CircuitOpen(_) => (None, Some("the host's breaker is open".to_owned())),
        StepResult::TooManyCalls => (None, Some("too many calls".to_owned())),
    };
    What::Step(StepEntry {
        of: DeliveryOf::new(&stepped.delivery),
        attempt: stepped.attempt,
        step: stepped.step.clone(),
        method: stepped.request.method.clone(),
        url: stepped.request.url.clone(),
        status,
        error,
        is_final: stepped.result.finished().is_some(),
    })
}

fn decision(position: Position, decided: &DeliveryDecided) -> What {
    let (data, correction) = match &decided.command {
        DeliveryCommand::Correct(correction) => {
            (Some(Shown::of(&correction.data, DATA_CHARS_MAX)), correction.event.map(|event| event.0))
        }
        _ => (None, None),
    };
    What::Decision(DecisionEntry {
        of: DeliveryOf::new(&decided.delivery),
        command: decided.command.word(),
        actor: decided.actor.clone(),
        reason: decided.reason.clone(),
        data,
        correction,
        emitted: emitted(&decided.emitted, Some(position.next())),
    })
}

fn mode(changed: &ModeChanged) -> What {
    What::ModeChanged(ModeEntry {
        handler: changed.handler.to_string(),
        mode: match changed.mode {
            Mode::Running => "running",
            Mode::Draining => "draining",
            Mode::Paused => "paused",
        },
        actor: changed.actor.clone(),
        reason: changed.reason.clone(),
    })
}

fn breaker(changed: &BreakerChanged) -> What {
    What::BreakerChanged(BreakerEntry {
        breaker: changed.breaker.to_string(),
        is_open: changed.open_ms.is_some(),
        open_until: changed.open_until_ms.map(rfc3339),
        open_until_ms: changed.open_until_ms,
        actor: changed.actor.clone(),
        reason: changed.reason.clone(),
    })
}
