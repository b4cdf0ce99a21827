//! Every event in every state: the table of `handlers/README.md`, cell by cell.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use escrow_handler::handle;
use order_events::{
    EscrowBuyerSigned, EscrowCancelRequested, EscrowCloseRequested, EscrowDeadlinePassed, EscrowDeadlines,
    EscrowFunded, EscrowOpened, EscrowRefundRequested, EscrowSellerSigned, EscrowStep,
};
use weirgate_sdk::testing::{Delivery, Run, World};

const README: &str = include_str!("../../README.md");
const DEAL: &str = include_str!("../src/deal.rs");
const KEY: &str = "escrow/e-1";

/// The event at the head of a column of the table.
fn event(name: &str) -> Delivery {
    let escrow = || "e-1".to_owned();
    let opened = |seller: &str| {
        let (buyer, seller) = ("ada".into(), seller.into());
        let deadlines = EscrowDeadlines::default();
        Delivery::of(&EscrowOpened { escrow: escrow(), buyer, seller, amount_cents: 10_000, deadlines })
    };
    let paid = |reference: &str, amount_cents| {
        Delivery::of(&EscrowFunded { escrow: escrow(), amount_cents, reference: reference.into() })
    };
    let late = |step| Delivery::of(&EscrowDeadlinePassed { escrow: escrow(), step });
    let delivery = match name {
        "opened again" => opened("bob"),
        "opened otherwise" => opened("eve"),
        "buyer signed" => Delivery::of(&EscrowBuyerSigned { escrow: escrow() }),
        "seller signed" => Delivery::of(&EscrowSellerSigned { escrow: escrow() }),
        "payment 1" => paid("tr-1", 10_000),
        "payment 2" => paid("tr-2", 10_000),
        "wrong amount" => paid("tr-3", 9_999),
        "close" => Delivery::of(&EscrowCloseRequested { escrow: escrow() }),
        "cancel" => Delivery::of(&EscrowCancelRequested { escrow: escrow(), reason: "no".into() }),
        "buyer late" => late(EscrowStep::BuyerSignature),
        "seller late" => late(EscrowStep::SellerSignature),
        "payment late" => late(EscrowStep::Payment),
        "closing late" => late(EscrowStep::Closing),
        other => panic!("there is no event {other}"),
    };
    delivery.key(KEY)
}

/// A way to a state.
fn way_to(state: &str) -> Vec<&'static str> {
    let (state, paid) = state.split_once(", ").map_or((state, &[] as &[_]), |(state, _)| (state, &["payment 1"]));
    let mut way = vec!["opened again"];
    way.extend(paid);
    way.extend_from_slice(match state {
        "unopened" => return Vec::new(),
        "opened" => &[],
        "buyer-signed" => &["buyer signed"],
        "seller-signed" => &["seller signed"],
        "signed" | "funded" => &["buyer signed", "seller signed"],
        "closed" => &["buyer signed", "seller signed", "close"],
        "cancelled" => &["cancel"],
        "expired" => &["seller late"],
        other => panic!("there is no state {other}"),
    });
    way
}

fn world_in(state: &str) -> World {
    let mut world = World::new();
    for name in way_to(state) {
        world.run(event(name), handle).completed();
    }
    assert_eq!(state_of(&world), state);
    world
}

fn state_of(world: &World) -> String {
    let Some(status) = world.status(KEY) else { return "unopened".to_owned() };
    if status.data["paid"] == true { format!("{}, paid", status.state) } else { status.state.clone() }
}

/// The cells of each row.
fn table() -> Vec<Vec<&'static str>> {
    let table = README.split("## Every event in every state").nth(1).expect("the table's heading");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
    let told = DEAL.lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with('|'));
    assert_eq!(told.collect::<Vec<_>>(), rows, "the table of deal.rs is another one");
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.into_iter().map(cells).collect()
}

#[test]
fn every_event_has_its_answer_in_every_state() {
    let table = table();
    let names = &table[0][1..];
    assert_eq!((names.len(), table.len() - 2), (13, 14));
    for row in &table[2..] {
        assert_eq!(row.len(), names.len() + 1, "{}", row[0]);
        for (name, cell) in names.iter().zip(&row[1..]) {
            let mut world = world_in(row[0]);
            let run = world.run(event(name), handle);
            check(cell, row[0], &run, &state_of(&world), &format!("{} and {name}", row[0]));
        }
    }
}

fn check(cell: &str, before: &str, run: &Run, after: &str, what: &str) {
    match cell {
        "." => {
            run.did_nothing();
            assert!(run.log()[0].1.starts_with("ignored: "), "{what}: {:?}", run.log());
            assert_eq!(after, before, "{what}");
        }
        "x" => {
            assert!(run.result().is_err_and(weirgate_sdk::Failure::is_permanent), "{what}");
            assert_eq!(after, before, "{what}");
        }
        cell => {
            assert!(run.result().is_ok(), "{what}");
            let (state, back) = match cell.strip_suffix("back") {
                None => (cell, 0),
                Some("") => (before, 1),
                Some(state) => (state.trim_end_matches(", "), 1),
            };
            assert_eq!(after, state, "{what}");
            let refunds = run.emitted::<EscrowRefundRequested>();
            assert_eq!(refunds.len(), back, "{what}: money that goes back");
            assert!(refunds.iter().all(|refund| refund.to == "ada"), "{what}");
        }
    }
}

#[test]
fn every_state_can_be_reached_and_all_are_in_the_table() {
    let table = table();
    let states: Vec<_> = table[2..].iter().map(|row| row[0]).collect();
    let followers = table[2..].iter().flat_map(|row| &row[1..]);
    for cell in followers.filter(|cell| ![".", "x", "back"].contains(cell)) {
        let state = cell.trim_end_matches(", back");
        assert!(states.contains(&state), "{state} has no row");
    }
}

/// The same event under another id has no second effect, whatever the state.
#[test]
fn repeated_events_cause_no_second_effect() {
    let table = table();
    for row in &table[2..] {
        for (name, cell) in table[0][1..].iter().zip(&row[1..]).filter(|(_, cell)| **cell != "x") {
            let mut world = world_in(row[0]);
            world.run(event(name), handle).completed();
            let again = world.run(event(name).id("again"), handle);
            if let Ok(()) = again.result() {
                again.did_nothing();
            } else {
                panic!("{} and {name}, {cell}, is refused the second time", row[0]);
            }
        }
    }
}
