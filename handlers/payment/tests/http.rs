//! The payment handler and a gateway over HTTP: the requests, and the meaning of the answers. The runtime ensures that a
//! call is made once over all attempts.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{OrderCancelled, PaymentCharged, PaymentDeclined, PaymentRefunded};
use payment_handler::{Payable, handle};
use serde_json::{Value, json};
use weirgate_sdk::{
    Failure, HttpError, Response,
    testing::{Delivery, World},
};

const KEY: &str = "order/o-1";
const STEP: &str = "charge-card";

fn world() -> World {
    World::new().handler("payment").config("gateway", "http").config("gateway_url", "https://pay.example/v1/")
}

fn reserved(card: Option<&str>) -> Delivery {
    let payable = Payable { order: "o-1".into(), total_cents: 1910, card: card.map(Into::into), reason: None };
    Delivery::of(&payable).key(KEY).state("card", "tok_ada")
}

fn charged() -> Response {
    Response::new(201).with_json(&json!({"reference": "ch_17"}))
}

fn refusal(status: u16, code: &str) -> Response {
    Response::new(status).with_json(&json!({"code": code, "message": "the bank says no"}))
}

fn fails(answer: Response) -> Failure {
    world().run(reserved(None).answer(STEP, answer), handle).failure().clone()
}

#[test]
fn a_charge_is_one_call_with_the_secret_in_its_place() {
    let mut world = world();
    let run = world.run(reserved(None).answer(STEP, charged()), handle);
    let [asked] = run.asked() else { panic!("{:?}", run.asked()) };
    assert_eq!((asked.step.as_str(), asked.request.method.as_str()), (STEP, "POST"));
    assert_eq!(asked.request.url, "https://pay.example/v1/charges");
    assert_eq!(asked.header("authorization"), Some("Bearer {{secret:payment-gateway}}"));
    let body = json!({"order": "o-1", "amount_cents": 1910, "currency": "EUR", "card": "tok_ada"});
    assert_eq!(asked.json::<Value>(), body);
    assert_eq!(run.emitted::<PaymentCharged>()[0].reference, "ch_17");
    assert!(world.run(reserved(None), handle).asked().is_empty(), "an order that is charged is not charged again");
}

#[test]
fn a_charge_is_paid_back_by_its_reference() {
    let mut world = world();
    world.run(reserved(None).answer(STEP, charged()), handle).completed();
    let cancelled = Delivery::of(&OrderCancelled { order: "o-1".into(), reason: "it is late".into() }).key(KEY);
    let down = world.run(cancelled.clone().answer("refund-charge", Response::new(503)), handle);
    assert!(down.failure().is_transient());
    let run = world.run(cancelled.answer("refund-charge", Response::new(200)), handle);
    let asked = &run.asked()[0];
    assert_eq!(asked.request.url, "https://pay.example/v1/refunds");
    assert_eq!(asked.header("authorization"), Some("Bearer {{secret:payment-gateway}}"));
    let body = json!({"order": "o-1", "amount_cents": 1910, "currency": "EUR", "reference": "ch_17"});
    assert_eq!(asked.json::<Value>(), body);
    assert_eq!(run.emitted::<PaymentRefunded>()[0].reference, "ch_17");
}

#[test]
fn insufficient_funds_decline_the_payment() {
    for (answer, reason) in
        [(refusal(402, "insufficient_funds"), "the bank says no"), (Response::new(402), "the card was declined")]
    {
        let run = world().run(reserved(None).answer(STEP, answer), handle);
        assert_eq!(run.emitted::<PaymentDeclined>()[0].reason, reason);
    }
}

#[test]
fn wrong_card_details_await_correction() {
    for (status, code) in [(402, "incorrect_number"), (402, "expired_card"), (422, "invalid_number")] {
        let failure = fails(refusal(status, code));
        assert!(failure.is_correctable(), "{code}");
        assert!(failure.to_string().contains("the bank says no; a payment.details-corrected"), "{failure}");
    }
}

#[test]
fn another_card_is_another_call() {
    // The names are digests: the same for the same card, without revealing it.
    for (card, step) in [("tok_bob", "charge-card-2382ff61"), ("tok_eve", "charge-card-b5bec168")] {
        let run = world().run(reserved(Some(card)).answer(step, charged()), handle);
        assert_eq!(run.asked()[0].step, step);
        assert_eq!(run.asked()[0].json::<Value>()["card"], card);
        assert_eq!(run.emitted::<PaymentCharged>().len(), 1);
    }
}

#[test]
fn gateway_errors_are_retried() {
    for status in [408, 425, 429, 500, 503] {
        assert!(fails(Response::new(status)).is_transient(), "{status}");
    }
    let busy = fails(Response::new(429).with_header("Retry-After", "7"));
    assert_eq!(busy.to_string(), "transient: the answer has status 429 (again after 7000 ms)");
    for error in [
        HttpError::TimedOut,
        HttpError::Unreachable("no route".into()),
        HttpError::Denied("the manifest does not name the host".into()),
        HttpError::CircuitOpen { retry_after_ms: 4_000 },
    ] {
        let run = world().run(reserved(None).answer_error(STEP, error), handle);
        assert!(run.failure().is_transient());
    }
}

#[test]
fn errors_that_no_retry_can_fix_are_permanent() {
    for answer in [
        Response::new(401),
        Response::new(404),
        refusal(422, "unknown_currency"),
        Response::new(201),
        Response::new(200).with_body("<html>"),
    ] {
        assert!(fails(answer.clone()).is_permanent(), "{answer:?}");
    }
    let too_large = world().run(reserved(None).answer_error(STEP, HttpError::TooLarge), handle);
    assert!(too_large.failure().is_permanent());
}

#[test]
fn a_missing_url_can_be_corrected() {
    let run = World::new().config("gateway", "http").run(reserved(None), handle);
    assert!(run.failure().is_transient() && run.asked().is_empty());
}
