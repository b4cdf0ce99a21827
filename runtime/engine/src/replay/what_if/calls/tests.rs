//! Where the calls of a delivery of the fork get their answers.

use std::sync::Mutex;

use weirgate_host::OwnProcessor;
use weirgate_types::{Digest, HandlerName, HostCall, Position};

use super::*;

fn request(method: &str, digest: u8) -> StepRequest {
    StepRequest { method: method.into(), url: "https://pay.example/".into(), digest: Digest([digest; 32]) }
}

fn delivery() -> DeliveryId {
    DeliveryId { handler: "pay".parse().expect("a name"), position: Position(1) }
}

fn answer(status: u16) -> StepAnswer {
    StepAnswer { status, headers: Vec::new(), body: vec![7] }
}

fn stepped(step: &str, digest: u8, status: u16) -> Stepped {
    Stepped {
        delivery: delivery(),
        attempt: 1,
        step: step.into(),
        request: request("POST", digest),
        result: StepResult::Answered(answer(status)),
        requests: 1,
        previous: None,
        at_ms: 0,
    }
}

fn status(source: &Source) -> Option<u16> {
    match source {
        Source::Record(OutboundCall { result: StepResult::Answered(answer), .. }) => Some(answer.status),
        _ => None,
    }
}

fn ask(calls: &ForkCalls, method: &str, step: &str, digest: u8) -> Source {
    calls.source(step, &request(method, digest)).expect("an answer")
}

/// What is stored, and a journal that can be full.
#[derive(Default)]
struct Stored {
    answers: Mutex<Vec<(String, u16)>>,
    is_full: bool,
}

impl Outside for Stored {
    fn answers(&self, _: &DeliveryId) -> Result<Vec<ReplayAnswer>, StateError> {
        Ok(Vec::new())
    }

    fn permit(&self, _: &HandlerName, host: &str) -> Result<(), u64> {
        if host == "down" { Err(500) } else { Ok(()) }
    }

    fn called(&self, _: &HandlerName, _: Vec<HostCall>) {}

    fn secret(&self, _: &HandlerName, _: &str) -> Option<BoundSecret> {
        None
    }

    fn idempotency_key(&self, delivery: &DeliveryId, step: &str) -> String {
        format!("r41/{delivery}/{step}")
    }

    fn record(&self, _: &DeliveryId, step: &str, _: &StepRequest, answer: &StepAnswer) -> Result<(), StateError> {
        if self.is_full {
            return Err(StateError::new("the disk is full"));
        }
        self.answers.lock().expect("unpoisoned").push((step.to_owned(), answer.status));
        Ok(())
    }
}

fn asking(outside: &Arc<Stored>, may_call: MayCall, left: u64) -> Asking {
    let (outside, left) = (Arc::clone(outside) as Arc<dyn Outside>, Arc::new(AtomicU64::new(left)));
    let (time_max, processor) = (Duration::from_secs(1), Arc::new(OwnProcessor));
    Asking { outside, may_call, delivery: delivery(), left, time_max, processor }
}

/// What comes of a call that is made.
fn made(calls: &ForkCalls, method: &str, step: &str, result: StepResult) -> Result<(), StateError> {
    calls.record(step, OutboundCall { request: request(method, 1), result, requests: 1 })
}

#[test]
fn the_same_request_gets_the_recorded_answers_and_another_one_none() {
    let recorded = [stepped("charge", 1, 503), stepped("charge", 1, 200), stepped("refund", 2, 200)];
    let calls = ForkCalls::new(recorded.clone(), [], MissingAnswers::Fail, None);
    assert_eq!(status(&ask(&calls, "POST", "charge", 1)), Some(503));
    assert_eq!(status(&ask(&calls, "POST", "charge", 1)), Some(200));
    assert_eq!(status(&ask(&calls, "POST", "charge", 1)), Some(200), "a final answer stands");
    assert_eq!(ask(&calls, "POST", "charge", 7), Source::Nothing, "105 is not 100");
    assert_eq!(calls.unanswered(), [UnansweredCall { step: "charge".into(), request: request("POST", 7) }]);
    assert_eq!(calls.not_made().iter().map(|call| call.step.as_str()).collect::<Vec<_>>(), ["refund"]);
    let calls = ForkCalls::new(recorded, [], MissingAnswers::Last, None);
    assert_eq!(status(&ask(&calls, "POST", "charge", 7)), Some(200));
    assert_eq!(ask(&calls, "POST", "other", 8), Source::Nothing, "no step of this name has an answer");
    assert_eq!(calls.unanswered().len(), 2);
}

/// A version that gives a step another name makes the same call: it is not made again, and none is left over. Each answers one step.
#[test]
fn a_call_has_its_answer_under_another_name_too() {
    let recorded = [stepped("charge", 1, 503), stepped("charge", 1, 200), stepped("refund", 2, 201)];
    let calls = ForkCalls::new(recorded, [], MissingAnswers::Fail, None);
    assert_eq!(status(&ask(&calls, "POST", "pay", 1)), Some(503));
    assert_eq!(status(&ask(&calls, "POST", "pay", 1)), Some(200));
    assert_eq!(status(&ask(&calls, "POST", "pay", 1)), Some(200), "a final answer stands");
    assert_eq!(ask(&calls, "POST", "charge", 1), Source::Nothing, "this would be a second call");
    assert_eq!(status(&ask(&calls, "POST", "refund", 2)), Some(201));
    assert_eq!(ask(&calls, "GET", "pay", 1), Source::Nothing, "another method is another call");
    assert!(calls.not_made().is_empty() && calls.unanswered().len() == 2);
}

/// What an appended event has led to is the call of a delivery in its place, once; what that does not call is left to the late one.
#[test]
fn a_delivery_in_its_place_gets_the_answers_of_the_late_one() {
    let late = ["tell", "ask"]
        .iter()
        .zip(1..)
        .map(|(step, digest)| LateCall { by: Position(90), call: stepped(step, digest, 201) });
    let calls = ForkCalls::new([stepped("charge", 3, 200)], [], MissingAnswers::Fail, None).with_late(late.collect());
    assert_eq!(status(&ask(&calls, "POST", "charge", 3)), Some(200));
    assert_eq!(status(&ask(&calls, "POST", "tell", 1)), Some(201));
    assert_eq!(ask(&calls, "POST", "tell", 7), Source::Nothing);
    assert_eq!(calls.late(), [(Position(90), "tell".into(), Digest([1; 32]))]);
    assert!(calls.not_made().is_empty(), "the late delivery's calls are its own");
}

#[test]
fn the_last_answer_is_the_newest_of_replays_or_else_of_the_delivery() {
    let given = |digest: u8, status: u16| ReplayAnswer {
        is_own: false,
        step: "charge".into(),
        request: request("POST", digest),
        answer: answer(status),
    };
    let recorded = [stepped("charge", 1, 200), stepped("charge", 2, 201)];
    let last = |given: Vec<ReplayAnswer>| {
        let calls = ForkCalls::new(recorded.clone(), given, MissingAnswers::Last, None);
        status(&ask(&calls, "POST", "charge", 9))
    };
    assert_eq!(last(Vec::new()), Some(201));
    assert_eq!(last(vec![given(3, 203)]), Some(203));
    assert_eq!(last(vec![given(4, 204), given(3, 203)]), Some(204), "the newest is the first");
}

#[test]
fn only_calls_that_read_are_made_in_a_what_if_and_each_answer_is_stored_once() {
    let outside = Arc::new(Stored::default());
    let calls = ForkCalls::new([], [], MissingAnswers::Call, Some(asking(&outside, MayCall::Safe, 10)));
    assert_eq!(ask(&calls, "POST", "charge", 1), Source::Nothing);
    assert_eq!(ask(&calls, "GET", "rate", 1), Source::Network);
    made(&calls, "GET", "rate", StepResult::Answered(answer(404))).expect("stored");
    assert_eq!(status(&ask(&calls, "GET", "rate", 1)), Some(404), "it is a recorded call now");
    made(&calls, "GET", "rate", StepResult::Answered(answer(404))).expect("nothing to store");
    assert_eq!(*outside.answers.lock().expect("unpoisoned"), [("rate".to_owned(), 404)]);
    assert_eq!(calls.made().len(), 1);
    assert_eq!(calls.idempotency_key("rate"), "r41/pay@1/rate");
    assert_eq!((calls.permit("down"), calls.permit("up")), (Err(500), Ok(())));
    // Without consent there is no call.
    let calls = ForkCalls::new([], [], MissingAnswers::Fail, Some(asking(&outside, MayCall::Nothing, 10)));
    assert_eq!(ask(&calls, "GET", "rate", 1), Source::Nothing);
    // An application may make any.
    let calls = ForkCalls::new([], [], MissingAnswers::Fail, Some(asking(&outside, MayCall::All, 10)));
    assert_eq!(ask(&calls, "POST", "charge", 1), Source::Network);
}

#[test]
fn a_call_without_a_final_answer_fails_its_delivery_and_is_not_stored() {
    let outside = Arc::new(Stored::default());
    for (result, says) in [
        (StepResult::Answered(answer(503)), "was answered 503"),
        (StepResult::TimedOut, "no answer in time"),
        (StepResult::Denied("a private address".into()), "a private address"),
        (StepResult::CircuitOpen(500), "was not made: the breaker of the host is open"),
    ] {
        let calls = ForkCalls::new([], [], MissingAnswers::Call, Some(asking(&outside, MayCall::Safe, 10)));
        assert_eq!(ask(&calls, "GET", "rate", 1), Source::Network);
        made(&calls, "GET", "rate", result).expect("nothing is stored");
        let NoAnswer { reason, is_open } = calls.failed().expect("it failed");
        assert!(reason.starts_with("GET https://pay.example/ (step `rate`) ") && reason.contains(says), "{reason}");
        assert_eq!(is_open, says.contains("breaker"));
    }
    assert!(outside.answers.lock().expect("unpoisoned").is_empty());
    let full = Arc::new(Stored { is_full: true, ..Stored::default() });
    let calls = ForkCalls::new([], [], MissingAnswers::Call, Some(asking(&full, MayCall::Safe, 10)));
    assert_eq!(ask(&calls, "GET", "rate", 1), Source::Network);
    assert!(
        made(&calls, "GET", "rate", StepResult::Answered(answer(200))).is_err(),
        "it is used only once it is durable"
    );
}

#[test]
fn no_more_calls_are_made_than_the_bound_allows() {
    let outside = Arc::new(Stored::default());
    let shared = asking(&outside, MayCall::Safe, 2);
    for expected in [true, true, false] {
        let calls = ForkCalls::new([], [], MissingAnswers::Call, Some(shared.clone()));
        assert_eq!(ask(&calls, "GET", "rate", 1) == Source::Network, expected);
        assert_eq!(calls.is_over(), !expected);
    }
}

#[test]
fn answers_of_replays_are_records_and_what_they_changed_is_listed() {
    let given = |is_own, method: &str, step: &str, digest| {
        let (step, request) = (step.to_owned(), request(method, digest));
        ReplayAnswer { is_own, step, request, answer: answer(200) }
    };
    let given = [given(true, "GET", "rate", 1), given(true, "POST", "charge", 2), given(false, "POST", "refund", 3)];
    let calls = ForkCalls::new([stepped("charge", 9, 201)], given, MissingAnswers::Fail, None);
    assert_eq!(status(&ask(&calls, "GET", "rate", 1)), Some(200));
    let steps = |calls: Vec<UnmadeCall>| {
        calls.into_iter().map(|call| (call.step, call.answer.map_or(0, |answer| answer.status))).collect()
    };
    let not_made: Vec<(String, u16)> = steps(calls.not_made());
    let named = |step: &str, status| (step.to_owned(), status);
    assert_eq!(not_made, [named("charge", 201), named("charge", 200), named("refund", 200)]);
    assert_eq!(status(&ask(&calls, "POST", "charge", 2)), Some(200));
    assert_eq!(
        steps(calls.made().into_iter().map(UnmadeCall::from).collect()),
        [named("rate", 200), named("charge", 200)]
    );
    assert_eq!(steps(calls.not_made()), [named("charge", 201), named("refund", 200)]);
}

/// Requests that may have arrived have to be compensated, too.
#[test]
fn a_call_without_a_final_answer_is_listed_unless_it_came_to_one_or_is_made_again() {
    let open = |result| Stepped { result, ..stepped("charge", 1, 0) };
    let timed_out = || open(StepResult::TimedOut);
    for (recorded, listed) in [
        (vec![timed_out()], vec![None]),
        (vec![open(StepResult::TooLarge)], vec![None]),
        (vec![timed_out(), timed_out()], vec![None]),
        (vec![timed_out(), stepped("charge", 1, 503)], vec![Some(503)]),
        (vec![stepped("charge", 1, 503), stepped("charge", 1, 200)], vec![Some(200)]),
        (vec![timed_out(), stepped("charge", 2, 200)], vec![None, Some(200)]),
        (vec![open(StepResult::Denied(String::new()))], vec![]),
        (vec![open(StepResult::CircuitOpen(7))], vec![]),
        (vec![open(StepResult::TooManyCalls)], vec![]),
        (vec![Stepped { request: request("GET", 1), ..timed_out() }], vec![]),
    ] {
        let calls = ForkCalls::new(recorded.clone(), [], MissingAnswers::Fail, None);
        let found: Vec<_> = calls.not_made().into_iter().map(|call| call.answer.map(|answer| answer.status)).collect();
        assert_eq!(found, listed, "{recorded:?}");
        assert_eq!(calls.is_as_recorded(), listed.is_empty());
        drop(ask(&calls, "POST", "charge", 1));
        let is_open = |call: &UnmadeCall| !call.answer.as_ref().is_some_and(StepAnswer::is_finished);
        let is_made = |call: &&UnmadeCall| is_open(call) && call.request == request("POST", 1);
        assert_eq!(calls.not_made().iter().find(is_made), None, "{recorded:?}");
    }
}
