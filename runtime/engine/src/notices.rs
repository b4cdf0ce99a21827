//! The runtime's own events: failures, gaps, breakers, handlers' modes. They are delivered like all events, to the handlers
//! that subscribe to them.
//!
//! Their ids end with the elapsed time, because that increases even when the time of records does not.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weirgate_core::{AttemptOutcome, Gap};
use weirgate_types::{
    AttemptFailure, BreakerId, DeliveryCommand, DeliveryId, Event, FailureClass, FailureKind, HandlerName, Mode,
    Outcome, Position, RUNTIME_TYPES,
};

use crate::command::LastFailure;

/// The source of the runtime's own events. Producers cannot use it.
pub const SOURCE: &str = "/weirgate";

/// The notice of an attempt's outcome, if there is one. Deliveries of notices have none, so that a failing handler of
/// notices causes no further notices.
pub fn of_outcome(delivery: &DeliveryId, event: &Event, outcome: &AttemptOutcome, elapsed_ms: u64) -> Option<Event> {
    if event.r#type.starts_with(RUNTIME_TYPES) {
        return None;
    }
    let (word, failure) = match &outcome.outcome {
        Outcome::Completed | Outcome::Withheld if outcome.recovered => ("recovered", None),
        Outcome::Completed | Outcome::Withheld => return None,
        Outcome::Retry { failure, .. } if failure.kind == FailureKind::NotReached => return None,
        Outcome::Retry { failure, .. } => ("failed", Some(failure)),
        Outcome::AwaitingCorrection { failure, .. } => ("awaiting-correction", Some(failure)),
        Outcome::DeadLettered { failure, .. } => ("dead-lettered", Some(failure)),
    };
    let next_attempt_at_ms = match &outcome.outcome {
        Outcome::Retry { due_ms, .. } => Some(*due_ms),
        _ => None,
    };
    let data = about(
        delivery,
        event,
        json!({ "attempt": outcome.attempt, "failure": failure, "next_attempt_at_ms": next_attempt_at_ms }),
    );
    let id = format!("{delivery}/{}/{elapsed_ms}", outcome.attempt);
    Some(following(event, notice(id, &format!("delivery.{word}"), event.key(), &data)))
}

/// The notice of an operator's command for a delivery: that it was given up, or which other command.
pub fn of_command(
    delivery: &DeliveryId,
    event: &Event,
    command: &DeliveryCommand,
    (actor, reason, last): (&str, &str, Option<&LastFailure>),
    elapsed_ms: u64,
) -> Option<Event> {
    if event.r#type.starts_with(RUNTIME_TYPES) {
        return None;
    }
    let (word, more) = match command {
        DeliveryCommand::DeadLetter => {
            let (attempt, digest) = (last.map_or(0, |last| last.attempt), last.map(|last| last.digest));
            let failure = given_up(actor, reason, last);
            let more =
                json!({ "attempt": attempt, "digest": digest, "failure": failure, "actor": actor, "reason": reason });
            ("dead-lettered", more)
        }
        _ => ("decided", json!({ "command": command.word(), "actor": actor, "reason": reason })),
    };
    let data = about(delivery, event, more);
    let id = format!("{delivery}/{}/{elapsed_ms}", command.word());
    Some(following(event, notice(id, &format!("delivery.{word}"), event.key(), &data)))
}

/// The notice that a correction event could not be applied to the delivery of `event`.
pub fn of_refused_correction(
    delivery: &DeliveryId,
    event: &Event,
    correction: Position,
    reason: &str,
) -> Option<Event> {
    if event.r#type.starts_with(RUNTIME_TYPES) {
        return None;
    }
    let data = about(delivery, event, json!({ "correction": correction, "reason": reason }));
    let id = format!("{delivery}/correction-refused/{correction}");
    Some(following(event, notice(id, "delivery.correction-refused", event.key(), &data)))
}

/// The failure of a delivery that an operator gave up: its last one, if it was ever attempted.
pub fn given_up(actor: &str, reason: &str, last: Option<&LastFailure>) -> AttemptFailure {
    let message = format!("given up by {actor}: {reason}");
    match last {
        Some(LastFailure { failure, .. }) => {
            AttemptFailure { message: format!("{message}; last failure: {}", failure.message), ..failure.clone() }
        }
        None => {
            AttemptFailure { class: FailureClass::Permanent, ..AttemptFailure::found(FailureKind::Handler, message) }
        }
    }
}

/// The fields that every notice about a delivery has, and `more`.
fn about(delivery: &DeliveryId, event: &Event, more: Value) -> Value {
    let mut data = json!({
        "delivery": delivery.to_string(), "handler": delivery.handler,
        "event": { "position": delivery.position, "id": event.id, "source": event.source, "type": event.r#type },
        "key": event.key(),
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    data
}

/// A notice caused by an event inherits the event's context.
fn following(event: &Event, mut notice: Event) -> Event {
    if let Some(correlation) = event.extensions.get("correlationid") {
        notice.extensions.insert("correlationid".to_owned(), correlation.clone());
    }
    notice.extensions.insert("causationid".to_owned(), event.id.clone().into());
    notice
}

/// The notice that the wait for missing events of a sequence is over. `event` is the one behind the gap.
pub fn of_gap(gap: &Gap, event: &Event) -> Event {
    let Gap { delivery, expected, found } = gap;
    let reason = gap_text(*expected, *found);
    let data = about(delivery, event, json!({ "expected": expected, "found": found, "reason": reason }));
    following(event, notice(format!("{delivery}/gap/{expected}"), "sequence.gap", event.key(), &data))
}

/// The missing numbers, in words.
pub fn gap_text(expected: u64, found: u64) -> String {
    match found.saturating_sub(expected) {
        0 | 1 => format!("number {expected} has not come in time; {found} is next"),
        _ => format!("numbers {expected} to {} have not come in time; {found} is next", found.saturating_sub(1)),
    }
}

pub fn of_mode(handler: &HandlerName, mode: Mode, actor: &str, reason: &str, elapsed_ms: u64) -> Event {
    let word = match mode {
        Mode::Running => "resumed",
        Mode::Draining => "draining",
        Mode::Paused => "paused",
    };
    let data = json!({ "handler": handler, "actor": actor, "reason": reason });
    let id = format!("handlers/{handler}/{word}/{elapsed_ms}");
    notice(id, &format!("handler.{word}"), &handler_subject(handler), &data)
}

pub fn of_breaker(
    breaker: &BreakerId,
    open_until_ms: Option<u64>,
    actor: &str,
    reason: &str,
    elapsed_ms: u64,
) -> Event {
    let word = if open_until_ms.is_some() { "opened" } else { "closed" };
    let data = json!({ "breaker": breaker, "open_until_ms": open_until_ms, "actor": actor, "reason": reason });
    notice(
        format!("breakers/{breaker}/{word}/{elapsed_ms}"),
        &format!("breaker.{word}"),
        &breaker_subject(breaker),
        &data,
    )
}

pub fn of_pace(slow: bool, reason: &str, elapsed_ms: u64) -> Event {
    let word = if slow { "slow-down" } else { "go-on" };
    let data = json!({ "reason": reason });
    notice(format!("ingest/{word}/{elapsed_ms}"), &format!("ingest.{word}"), INGEST_SUBJECT, &data)
}

/// The subject that producers watch to learn whether to slow down.
pub const INGEST_SUBJECT: &str = "weirgate/ingest";

/// The subject that operators watch for a handler's state.
pub fn handler_subject(handler: &HandlerName) -> String {
    format!("weirgate/handlers/{handler}")
}

/// The subject that operators watch for a breaker's state; a handler's breaker is shown with the handler.
pub fn breaker_subject(breaker: &BreakerId) -> String {
    match breaker {
        BreakerId::Handler(name) => handler_subject(name),
        BreakerId::Host(host) => format!("weirgate/hosts/{host}"),
    }
}

fn notice(id: String, word: &str, subject: &str, data: &Value) -> Event {
    Event {
        id,
        source: SOURCE.to_owned(),
        r#type: format!("{RUNTIME_TYPES}{word}"),
        subject: Some(subject.to_owned()),
        time: None,
        data_content_type: Some("application/json".to_owned()),
        data_schema: None,
        extensions: BTreeMap::new(),
        implied_key: None,
        data: data.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(r#type: &str, outcome: Outcome, recovered: bool) -> Option<Event> {
        let event = Event { r#type: r#type.into(), ..notice("1".into(), "", "order/o-1", &json!({})) };
        let delivery = DeliveryId { handler: "a".parse().expect("a name"), position: Position(7) };
        let outcome = AttemptOutcome { position: Position(7), attempt: 2, outcome, recovered };
        of_outcome(&delivery, &event, &outcome, 5)
    }

    #[test]
    fn each_outcome_has_its_notice_type_and_key() {
        let failure = AttemptFailure::found(FailureKind::Trap, "no");
        let retry =
            Outcome::Retry { delay_ms: 4, due_ms: 9, stage: 0, spent: true, previous: None, failure: failure.clone() };
        let waiting = Outcome::AwaitingCorrection { previous: None, failure };
        for (outcome, recovered, word) in
            [(Outcome::Completed, true, "recovered"), (retry, false, "failed"), (waiting, false, "awaiting-correction")]
        {
            let event = told("order.placed", outcome, recovered).expect("a notice");
            assert_eq!(
                (event.r#type.as_str(), event.key()),
                (format!("weirgate.delivery.{word}").as_str(), "order/o-1")
            );
        }
        assert_eq!(told("order.placed", Outcome::Completed, false), None);
    }

    #[test]
    fn a_gap_notice_has_the_sequences_key() {
        let event = Event { id: "7".into(), ..notice(String::new(), "", "order/o-1", &json!({})) };
        let delivery = DeliveryId { handler: "a".parse().expect("a name"), position: Position(7) };
        let told = of_gap(&Gap { delivery, expected: 2, found: 5 }, &event);
        assert_eq!((told.r#type.as_str(), told.key()), ("weirgate.sequence.gap", "order/o-1"));
        let data: Value = serde_json::from_slice(&told.data).expect("JSON");
        assert_eq!(data["reason"], "numbers 2 to 4 have not come in time; 5 is next");
        assert_eq!(gap_text(2, 3), "number 2 has not come in time; 3 is next");
    }

    #[test]
    fn deliveries_of_notices_cause_no_notices() {
        let failure = AttemptFailure::found(FailureKind::Trap, "no");
        assert_eq!(
            told("weirgate.delivery.failed", Outcome::AwaitingCorrection { previous: None, failure }, false),
            None
        );
    }

    #[test]
    fn commands_cause_notices_except_for_deliveries_of_notices() {
        let delivery = DeliveryId { handler: "payment".parse().expect("a name"), position: Position(7) };
        let told = |r#type: &str, command| {
            of_command(&delivery, &notice("1".into(), r#type, "k", &json!({})), &command, ("ada", "so", None), 1)
        };
        let event = |command| {
            let order = Event { r#type: "order.placed".into(), ..notice("1".into(), "x", "order/o-1", &json!({})) };
            of_command(&delivery, &order, &command, ("ada", "so", None), 1).expect("a notice")
        };
        assert_eq!(told("breaker.opened", DeliveryCommand::Skip), None);
        let (skipped, dead) = (event(DeliveryCommand::Skip), event(DeliveryCommand::DeadLetter));
        assert_eq!((skipped.r#type.as_str(), skipped.key()), ("weirgate.delivery.decided", "order/o-1"));
        let data: Value = serde_json::from_slice(&skipped.data).expect("JSON");
        assert_eq!(
            (&data["command"], &data["actor"], &data["delivery"]),
            (&json!("skip"), &json!("ada"), &json!("payment@7"))
        );
        let data: Value = serde_json::from_slice(&dead.data).expect("JSON");
        assert_eq!(dead.r#type, "weirgate.delivery.dead-lettered");
        assert_eq!(data["failure"]["message"], "given up by ada: so");
    }

    #[test]
    fn a_delivery_that_is_given_up_keeps_its_last_failure() {
        let failure = AttemptFailure::found(FailureKind::Trap, "unreachable");
        let last = LastFailure { attempt: 3, digest: weirgate_types::Digest([7; 32]), failure, log: Vec::new() };
        let kept = given_up("ada", "so", Some(&last));
        assert_eq!((kept.class, kept.kind), (last.failure.class, FailureKind::Trap));
        assert_eq!(kept.message, "given up by ada: so; last failure: unreachable");
    }
}
