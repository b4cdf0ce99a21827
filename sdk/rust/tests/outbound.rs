//! A handler with outbound calls in the test kit: the test answers, and inspects the requests.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use weirgate_sdk::{prelude::*, testing::Delivery};

#[derive(Clone, Serialize, Deserialize, EventType)]
#[event("order.placed")]
struct Placed {
    card: String,
    cents: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Charge {
    card: String,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
struct Charged {
    id: String,
}

#[handler]
fn charge(event: Event<Placed>, context: &mut Context) -> Result<(), Failure> {
    let Placed { card, cents } = event.data;
    let request = Request::post("https://psp.example/charges")
        .header("Authorization", "Bearer {{secret:psp}}")
        .json(&Charge { card, cents })?;
    let answer = context.fetch("charge-card", request)?;
    if answer.status == 402 {
        return Err(Failure::correctable("the card was declined", "another card"));
    }
    let charged: Charged = answer.ok()?.json()?;
    context.set_status("charged", charged.id);
    Ok(())
}

fn placed() -> Delivery {
    Delivery::of(&Placed { card: "4242".into(), cents: 1_250 }).key("order/o-1")
}

#[test]
fn an_answer_is_read_and_the_request_can_be_inspected() {
    let run = placed().answer("charge-card", Response::new(201).with_json(&Charged { id: "ch-1".into() })).run(charge);
    assert_eq!(run.status().text, "ch-1");
    let [asked] = run.asked() else { panic!("one call: {:?}", run.asked()) };
    assert_eq!((asked.step.as_str(), asked.request.method.as_str()), ("charge-card", "POST"));
    assert_eq!(asked.header("authorization"), Some("Bearer {{secret:psp}}"), "the handler never has the secret");
    assert_eq!(asked.header("CONTENT-TYPE"), Some("application/json"));
    assert_eq!(asked.json::<Charge>(), Charge { card: "4242".into(), cents: 1_250 });
}

#[test]
fn an_unsuccessful_answer_becomes_a_matching_failure() {
    let failure = |answer| placed().answer("charge-card", answer).run(charge).failure().clone();
    assert!(failure(Response::new(402)).is_correctable());
    assert!(failure(Response::new(403)).is_permanent());
    let busy = failure(Response::new(503).with_header("Retry-After", "3"));
    assert!(matches!(busy, Failure::Transient { retry_after_ms: Some(3_000), .. }), "{busy}");
    assert!(failure(Response::new(200).with_body("<html>")).is_permanent());
    let failure = |error| placed().answer_error("charge-card", error).run(charge).failure().clone();
    assert!(failure(HttpError::Denied("not listed".into())).is_permanent());
    assert!(failure(HttpError::Unreachable("refused".into())).is_transient());
    let open = failure(HttpError::CircuitOpen { retry_after_ms: 900 });
    assert!(matches!(open, Failure::Transient { retry_after_ms: Some(900), .. }), "{open}");
}

#[test]
fn finished_steps_are_called_once_and_others_again() {
    let twice = |_: Event<Placed>, context: &mut Context| {
        for _ in 0..2 {
            context.fetch("a", Request::get("https://a.example/"))?;
            context.fetch("b", Request::get("https://b.example/"))?;
        }
        Ok(())
    };
    let run = placed().answer("a", Response::new(404)).answer("b", Response::new(500)).run(twice);
    let steps: Vec<&str> = run.completed().asked().iter().map(|asked| asked.step.as_str()).collect();
    assert_eq!(steps, ["a", "b", "b"]);
}

#[test]
fn a_finished_step_answers_its_own_request_only() {
    let charge = |amount: u32| Request::post("https://psp.example/charges").body(amount.to_string());
    let twice = move |_: Event<Placed>, context: &mut Context| {
        context.fetch("charge", charge(100))?;
        context.fetch("charge", charge(105))?;
        Ok(())
    };
    let run = placed().answer("charge", Response::new(200)).run(twice);
    assert_eq!(
        run.ended(),
        "the step `charge` was finished with another request (POST https://psp.example/charges); another request needs \
         another step name"
    );
    assert_eq!(placed().answer("charge", Response::new(503)).run(twice).completed().asked().len(), 2, "not finished");
}

#[test]
fn the_limits_are_those_of_the_contract() {
    let many = |_: Event<Placed>, context: &mut Context| {
        for _ in 0..100 {
            let _ = context.fetch("a", Request::get("https://a.example/"));
        }
        Ok(())
    };
    let run = placed().answer_error("a", HttpError::TimedOut).run(many);
    assert_eq!(run.ended(), "too many outbound calls: at most 32 (limits.outbound_calls)");
    assert_eq!(run.asked().len(), 32);
    let unnamed = |_: Event<Placed>, context: &mut Context| {
        context.fetch("", Request::get("https://a.example/"))?;
        Ok(())
    };
    assert_eq!(placed().run(unnamed).ended(), "a step's name is empty");
}

#[test]
#[should_panic(expected = "the test has no answer to step \"charge-card\", POST https://psp.example/charges")]
fn a_call_without_a_prepared_answer_fails_the_test() {
    placed().run(charge);
}
