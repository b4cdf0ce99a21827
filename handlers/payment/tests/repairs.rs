//! The payment handler after a repair: a version that charged too much has been corrected.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{OrderCancelled, PaymentRefunded};
use payment_handler::{Payable, handle, on_corrected};
use serde_json::{Value, json};
use weirgate_sdk::{
    Response,
    prelude::*,
    testing::{Delivery, Run, World},
};

const KEY: &str = "order/o-1";

fn world(gateway: &str) -> World {
    World::new().handler("payment").config("gateway", gateway).config("gateway_url", "https://pay.example/v1")
}

fn payable(total_cents: u64, card: &str) -> Delivery {
    let payable = Payable { order: "o-1".into(), total_cents, card: Some(card.into()), reason: None };
    Delivery::of(&payable).key(KEY).position(17)
}

fn charge(world: &mut World, total_cents: u64) -> Run {
    world.run(payable(total_cents, "4242424242424242"), handle)
}

/// The repair of one that charged `before`, and the world as the version that charges `now` has it.
fn repaired(before: u64, now: u64) -> (World, Repair) {
    let (mut old, mut new) = (world("up"), world("up"));
    let repair = Repair::between(&charge(&mut old, before), &charge(&mut new, now));
    (new, Repair { reason: "cents were euros".into(), ..repair })
}

fn cancelled() -> Delivery {
    Delivery::of(&OrderCancelled { order: "o-1".into(), reason: "it is late".into() }).key(KEY)
}

#[test]
fn what_was_charged_too_much_is_refunded() {
    let (mut world, repair) = repaired(191_000, 1_910);
    let run = world.run_repair(Delivery::of_repair(&repair).key(KEY), on_corrected);
    let refunded = PaymentRefunded {
        order: "o-1".into(),
        total_cents: 189_090,
        reference: "pay-payment@17".into(),
        reason: "too much was charged: cents were euros".into(),
        replay: Some(repair.replay.clone()),
    };
    assert_eq!(run.emitted::<PaymentRefunded>(), [refunded]);
    assert_eq!((run.status().state.as_str(), run.status().data["total_cents"].as_u64()), ("charged", Some(1_910)));
    assert_eq!(run.status().text, "Paid €19.10; €1,890.90 too much was paid back");
    let rest = world.run(cancelled(), handle);
    assert_eq!(rest.emitted::<PaymentRefunded>()[0].total_cents, 1_910, "a later refund is of the rest");
}

#[test]
fn a_charge_that_should_not_have_been_is_refunded_whole() {
    let old = charge(&mut world("up"), 1_910);
    let mut world = world("up");
    let declined = world.run(payable(1_910, "4000000000000002"), handle);
    let run = world.run_repair(Delivery::of_repair(&Repair::between(&old, &declined)).key(KEY), on_corrected);
    assert_eq!(run.emitted::<PaymentRefunded>()[0].total_cents, 1_910);
    assert_eq!(run.status().state, "refunded");
}

#[test]
fn a_refund_is_a_call_that_names_the_charge() {
    let paid = |cents, reference: &str| {
        let answer = Response::new(201).with_json(&json!({ "reference": reference }));
        let payable = Payable { order: "o-1".into(), total_cents: cents, card: None, reason: None };
        let delivery = Delivery::of(&payable).key(KEY).state("card", "tok_ada").answer("charge-card", answer);
        let mut world = world("http");
        (world.run(delivery, handle), world)
    };
    // The corrected version has charged anew, by a reference of its own: the old charge is refunded whole.
    let ((old, _), (new, mut world)) = (paid(191_000, "ch_17"), paid(1_910, "ch_18"));
    let repair = Repair::between(&old, &new);
    assert_eq!((repair.calls_before[0].step.as_str(), repair.calls_before[0].status), ("charge-card", Some(201)));
    let delivery = Delivery::of_repair(&repair).key(KEY);
    let down = world.run_repair(delivery.clone().answer("refund-excess-0", Response::new(503)), on_corrected);
    assert!(down.failure().is_transient());
    let run = world.run_repair(delivery.answer("refund-excess-0", Response::new(200)), on_corrected);
    let [asked] = run.asked() else { panic!("{:?}", run.asked()) };
    assert_eq!(asked.request.url, "https://pay.example/v1/refunds");
    let body = json!({"order": "o-1", "amount_cents": 191_000, "currency": "EUR", "reference": "ch_17"});
    assert_eq!(asked.json::<Value>(), body);
    assert_eq!(run.emitted::<PaymentRefunded>().len(), 1);
}

#[test]
fn a_refund_counts_once() {
    let paid_back = |cents| {
        let mut world = world("up");
        (charge(&mut world, cents), world.run(cancelled(), handle), world)
    };
    let ((old, old_refund, _), (new, new_refund, mut both)) = (paid_back(191_000), paid_back(1_910));
    let (charges, refunds) = (Repair::between(&old, &new), Repair::between(&old_refund, &new_refund));
    let with = |emitted_before, emitted_now| Repair { emitted_before, emitted_now, ..Repair::default() };
    // Both versions refund what they charge.
    let before = [charges.emitted_before.clone(), refunds.emitted_before].concat();
    let repair = with(before, [charges.emitted_now.clone(), refunds.emitted_now.clone()].concat());
    both.run_repair(Delivery::of_repair(&repair).key(KEY), on_corrected).did_nothing();
    // Only the corrected one refunds: the rest of the charge is left.
    let repair = with(charges.emitted_before, [charges.emitted_now, refunds.emitted_now.clone()].concat());
    let run = both.run_repair(Delivery::of_repair(&repair).key(KEY), on_corrected);
    assert_eq!(run.emitted::<PaymentRefunded>()[0].total_cents, 189_090);
    // The corrected one refunds an unchanged charge: that was its own call.
    both.run_repair(Delivery::of_repair(&with(vec![], refunds.emitted_now)).key(KEY), on_corrected).did_nothing();
    let nothing = Repair::between(&charge(&mut self::world("up"), 5), &charge(&mut self::world("up"), 5));
    Delivery::of_repair(&nothing).key(KEY).run_repair(on_corrected).did_nothing();
}

#[test]
fn an_undo_before_anything_was_paid_back_leaves_the_charge_as_it_was_made() {
    let (_, repair) = repaired(191_000, 1_910);
    let mut old = world("up");
    charge(&mut old, 191_000);
    let undo = Repair { emitted_before: repair.emitted_now, ..Repair::default() };
    old.run_repair(Delivery::of_repair(&undo).key(KEY), on_corrected).did_nothing();
}

#[test]
fn what_was_paid_back_is_not_paid_back_again_by_an_undo() {
    let (mut world, repair) = repaired(191_000, 1_910);
    let paid_back = world.run_repair(Delivery::of_repair(&repair).key(KEY), on_corrected);
    // The undo takes the corrected charge back, and the refund with it; the first charge stands again.
    let refunded = Repair::between(&paid_back, &charge(&mut self::world("up"), 5)).emitted_before;
    let undo = Repair { emitted_before: [repair.emitted_now, refunded].concat(), ..Repair::default() };
    let run = world.run_repair(Delivery::of_repair(&undo).key(KEY), on_corrected);
    let told = "€1,890.90 was paid back after a repair that is undone; ask for it again, or skip this";
    assert!(run.failure().is_permanent() && run.failure().message() == told, "{:?}", run.failure());
}

#[test]
fn a_person_settles_what_no_refund_can() {
    let (mut world, repair) = repaired(5, 1_910);
    let run = world.run_repair(Delivery::of_repair(&repair).key(KEY), on_corrected);
    assert!(run.failure().is_permanent());
    assert_eq!(run.failure().message(), "€19.05 too little was paid by pay-payment@17; ask for it, or skip this");
    let (mut world, repair) = repaired(191_000, 1_910);
    let truncated = Repair { truncated: true, ..repair };
    assert!(world.run_repair(Delivery::of_repair(&truncated).key(KEY), on_corrected).failure().is_permanent());
}
