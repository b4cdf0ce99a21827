//! The escrow handler's paths from opening to end, and the deadline of each step. `matrix.rs` has every event in every
//! state.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use escrow_handler::handle;
use order_events::{
    EscrowBuyerSigned, EscrowCancelRequested, EscrowCancelled, EscrowCloseRequested, EscrowClosed,
    EscrowDeadlinePassed, EscrowDeadlines, EscrowExpired, EscrowFunded, EscrowOpened, EscrowRefundRequested,
    EscrowReleaseRequested, EscrowSellerSigned, EscrowSigned, EscrowStep,
};
use weirgate_sdk::{
    prelude::*,
    testing::{Delivery, Run, World},
};

const KEY: &str = "escrow/e-1";

fn escrow() -> String {
    "e-1".into()
}

fn opened() -> EscrowOpened {
    let (buyer, seller) = ("ada".into(), "bob".into());
    let deadlines = EscrowDeadlines { signatures_s: Some(3_600), payment_s: None, closing_s: Some(7_200) };
    EscrowOpened { escrow: escrow(), buyer, seller, amount_cents: 10_000, deadlines }
}

fn buyer_signed() -> EscrowBuyerSigned {
    EscrowBuyerSigned { escrow: escrow() }
}

fn seller_signed() -> EscrowSellerSigned {
    EscrowSellerSigned { escrow: escrow() }
}

fn funded(reference: &str) -> EscrowFunded {
    EscrowFunded { escrow: escrow(), amount_cents: 10_000, reference: reference.into() }
}

fn run<E: EventType + Serialize>(world: &mut World, event: &E) -> Run {
    world.run(Delivery::of(event).key(KEY), handle)
}

fn text(world: &World) -> &str {
    &world.status(KEY).expect("a status").text
}

fn running(world: &World) -> Vec<&'static str> {
    let names = ["buyer-signature", "seller-signature", "payment", "closing"];
    names.into_iter().filter(|name| world.timer(KEY, name).is_some()).collect()
}

#[test]
fn an_escrow_with_all_steps_in_time_completes() {
    let mut world = World::new();
    let run_opened = run(&mut world, &opened());
    assert_eq!(run_opened.status().text, "Waiting for both to sign");
    assert_eq!(running(&world), ["buyer-signature", "seller-signature"]);
    run(&mut world, &seller_signed()).completed();
    assert_eq!((text(&world), running(&world)), ("Waiting for the buyer to sign", vec!["buyer-signature"]));
    let signed = run(&mut world, &buyer_signed());
    assert_eq!((signed.emitted::<EscrowSigned>().len(), running(&world)), (1, vec!["payment"]));
    assert_eq!(text(&world), "Waiting for the buyer to pay €100.00");
    run(&mut world, &funded("tr-7")).completed();
    assert_eq!((text(&world), running(&world)), ("€100.00 are held until the buyer closes it", vec!["closing"]));
    assert_eq!(world.status(KEY).expect("a status").data["waits_for"][0], "closing");
    let closed = run(&mut world, &EscrowCloseRequested { escrow: escrow() });
    let release =
        EscrowReleaseRequested { escrow: escrow(), to: "bob".into(), amount_cents: 10_000, reference: "tr-7".into() };
    assert_eq!((closed.emitted(), closed.emitted::<EscrowClosed>().len()), (vec![release], 1));
    assert_eq!((text(&world), running(&world)), ("Closed; €100.00 go to the seller", Vec::new()));
}

#[test]
fn money_may_come_before_the_signatures() {
    let mut world = World::new();
    run(&mut world, &opened()).completed();
    run(&mut world, &funded("tr-7")).completed();
    assert_eq!(text(&world), "Waiting for both to sign; the money is here");
    run(&mut world, &buyer_signed()).completed();
    assert_eq!(text(&world), "Waiting for the seller to sign; the money is here");
    let signed = run(&mut world, &seller_signed());
    assert_eq!((signed.status().state.as_str(), running(&world)), ("funded", vec!["closing"]));
}

#[test]
fn each_step_has_its_deadline() {
    let mut world = World::new().config("payment_deadline_s", "60").config("closing_deadline_s", "1");
    let first = run(&mut world, &opened());
    assert_eq!(first.timer("seller-signature").due, Due::AfterMs(3_600_000), "as the terms say");
    run(&mut world, &buyer_signed()).completed();
    let signed = run(&mut world, &seller_signed());
    assert_eq!(signed.timer("payment").due, Due::AfterMs(60_000), "as the settings say");
    let paid = run(&mut world, &funded("tr-7"));
    assert_eq!(paid.timer("closing").due, Due::AfterMs(7_200_000), "the terms come before the settings");
    let without = EscrowOpened { deadlines: EscrowDeadlines::default(), ..opened() };
    let run = run(&mut World::new(), &without);
    assert_eq!(run.timer("buyer-signature").due, Due::AfterMs(86_400_000), "a day by default");
}

#[test]
fn a_missed_step_is_reported_and_compensated() {
    type Way = fn(&mut World);
    let ways: [(&str, Way, &str); 6] = [
        ("seller-signature", |_| {}, "Expired: the seller has not signed in time"),
        ("buyer-signature", |_| {}, "Expired: the buyer has not signed in time"),
        (
            "seller-signature",
            |world| drop(run(world, &funded("tr-7"))),
            "Expired: the seller has not signed in time; €100.00 go back to the buyer",
        ),
        (
            "buyer-signature",
            |world| drop((run(world, &seller_signed()), run(world, &funded("tr-7")))),
            "Expired: the buyer has not signed in time; €100.00 go back to the buyer",
        ),
        (
            "payment",
            |world| drop((run(world, &seller_signed()), run(world, &buyer_signed()))),
            "Expired: the buyer has not paid in time",
        ),
        (
            "closing",
            |world| drop((run(world, &seller_signed()), run(world, &buyer_signed()), run(world, &funded("tr-7")))),
            "Expired: the buyer has not closed it in time; €100.00 go back to the buyer",
        ),
    ];
    for (timer, way, says) in ways {
        let mut world = World::new();
        run(&mut world, &opened()).completed();
        way(&mut world);
        let late = world.fire(KEY, timer, handle);
        assert_eq!((late.status().state.as_str(), late.status().text.as_str()), ("expired", says));
        assert_eq!(late.emitted::<EscrowExpired>()[0].step.as_str(), timer);
        let back = late.emitted::<EscrowRefundRequested>();
        assert_eq!(back.len(), usize::from(says.contains("go back")), "{says}");
        assert!(back.iter().all(|back| says.contains(&back.reason) && back.reference == "tr-7"));
        assert!(running(&world).is_empty(), "{says}");
    }
}

#[test]
fn a_timer_that_fires_although_it_was_cancelled_changes_nothing() {
    let mut world = World::new();
    run(&mut world, &opened()).completed();
    let fired = world.timer(KEY, "seller-signature").expect("it runs").clone();
    assert_eq!(run(&mut world, &seller_signed()).cancelled_timers(), ["seller-signature"]);
    let late = world.run(Delivery::of_timer(&fired), handle);
    late.did_nothing();
    assert_eq!(late.log()[0].1, "ignored: the deadline of the seller-signature does not matter any more");
    let never = EscrowDeadlinePassed { escrow: escrow(), step: EscrowStep::Payment };
    run(&mut World::new(), &never).did_nothing();
}

#[test]
fn a_cancelled_escrow_pays_back_once() {
    let mut world = World::new();
    run(&mut world, &opened()).completed();
    run(&mut world, &funded("tr-7")).completed();
    let cancel = EscrowCancelRequested { escrow: escrow(), reason: "x".repeat(100_000) };
    let cancelled = run(&mut world, &cancel);
    assert_eq!(cancelled.emitted::<EscrowCancelled>()[0].reason.len(), 200, "a long reason is cut");
    assert_eq!(cancelled.emitted::<EscrowRefundRequested>()[0].reference, "tr-7");
    assert_eq!(cancelled.cancelled_timers(), ["buyer-signature", "seller-signature"]);
    run(&mut world, &funded("tr-7")).did_nothing();
    let other = run(&mut world, &funded("tr-8"));
    assert_eq!(other.emitted::<EscrowRefundRequested>()[0].reason, "the escrow has ended");
    run(&mut world, &funded("tr-8")).did_nothing();
}

#[test]
fn an_escrow_needs_two_parties_an_amount_and_time() {
    let deadlines = |signatures_s| EscrowDeadlines { signatures_s: Some(signatures_s), ..EscrowDeadlines::default() };
    for (terms, says) in [
        (EscrowOpened { seller: "ada".into(), ..opened() }, "`buyer` and `seller` are the same"),
        (EscrowOpened { buyer: " ".into(), ..opened() }, "`buyer` is not 1 to 200 bytes"),
        (EscrowOpened { amount_cents: 0, ..opened() }, "`amount_cents` is 0"),
        (EscrowOpened { deadlines: deadlines(0), ..opened() }, "a deadline of 0 s"),
        (EscrowOpened { deadlines: deadlines(u64::MAX), ..opened() }, "is not 1 to 315360000 s"),
    ] {
        let run = run(&mut World::new(), &terms);
        assert!(run.failure().is_correctable() && run.failure().to_string().contains(says), "{}", run.failure());
    }
    let mut world = World::new().config("payment_deadline_s", "soon");
    run(&mut world, &opened()).completed();
    run(&mut world, &buyer_signed()).completed();
    assert!(run(&mut world, &seller_signed()).failure().is_transient(), "a setting can be put right");
}

#[test]
fn events_outside_the_table_are_refused() {
    let mut world = World::new();
    run(&mut world, &opened()).completed();
    let elsewhere = world.run(Delivery::of(&buyer_signed()).key("escrow/e-2"), handle);
    assert!(elsewhere.failure().is_permanent(), "another escrow's key");
    assert!(run(&mut world, &funded("")).failure().is_permanent(), "money without a name");
    let wrong = |n: u32| EscrowFunded { amount_cents: 1, ..funded(&format!("tr-{n}")) };
    for n in 0..100 {
        run(&mut world, &wrong(n)).completed();
    }
    assert!(run(&mut world, &wrong(100)).failure().is_permanent(), "an operator has to check the many payments");
}
