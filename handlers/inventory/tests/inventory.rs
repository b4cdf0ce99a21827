//! The inventory handler in the native test kit. Its own events are delivered until none is left.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use inventory_handler::handle;
use order_events::{
    Article, ChangeKind, Customer, InventoryReserved, InventoryUnavailable, OrderAccepted, OrderCancelled,
    PaymentDeclined, PlacedLine, StockAnswered, StockCounted, StockReleased, StockRequested, catalogue,
};
use weirgate_sdk::testing::{Delivery, Emitted, Run, World};

const KEY: &str = "order/o-1";

fn accepted(skus: &[(&str, u32, bool)]) -> Delivery {
    let lines = skus.iter().map(|(sku, quantity, substitutes_ok)| {
        let entry = catalogue::find(sku).expect("an article");
        PlacedLine {
            sku: entry.sku.into(),
            name: entry.name.into(),
            quantity: *quantity,
            unit_price_cents: entry.price_cents,
            substitutes_ok: *substitutes_ok,
        }
    });
    let lines: Vec<_> = lines.collect();
    let total_cents = lines.iter().map(|line| line.unit_price_cents * u64::from(line.quantity)).sum();
    let customer = Customer { name: "Ada".into(), email: "ada@example.org".into(), address: "London".into() };
    let card = String::new();
    Delivery::of(&OrderAccepted { order: "o-1".into(), customer, lines, card, total_cents }).key(KEY)
}

fn cancelled() -> Delivery {
    Delivery::of(&OrderCancelled { order: "o-1".into(), reason: "changed my mind".into() }).key(KEY)
}

fn declined() -> Delivery {
    Delivery::of(&PaymentDeclined { order: "o-1".into(), total_cents: 1, reason: "declined".into() }).key(KEY)
}

fn world() -> World {
    World::new().config("stock.default", "10").config("stock.sourdough", "0").config("stock.fig-jam", "0")
}

/// Delivers, and then all resulting `stock.*` events, the newest first if `backwards`. Returns the other emissions.
fn settle(world: &mut World, delivery: Delivery, backwards: bool) -> Vec<Emitted> {
    let (mut left, mut open) = (Vec::new(), vec![delivery]);
    while !open.is_empty() {
        let next = if backwards { open.pop().expect("one") } else { open.remove(0) };
        for emitted in world.run(next, handle).emissions() {
            if emitted.r#type.starts_with("stock.") {
                open.push(Delivery::of_emitted(emitted));
            } else {
                left.push(emitted.clone());
            }
        }
    }
    left
}

fn the_reservation(emitted: &[Emitted]) -> InventoryReserved {
    assert_eq!((emitted.len(), emitted[0].r#type.as_str()), (1, "inventory.reserved"));
    serde_json::from_slice(&emitted[0].data).expect("a reservation")
}

fn on_hand(world: &World, sku: &str) -> Option<u64> {
    world.state(&format!("sku/{sku}"), "on-hand")
}

#[test]
fn available_stock_is_reserved() {
    for backwards in [false, true] {
        let mut world = world();
        let emitted = settle(&mut world, accepted(&[("honey", 2, true), ("oat-milk", 3, false)]), backwards);
        let reserved = the_reservation(&emitted);
        assert_eq!((reserved.total_cents, reserved.ordered_total_cents), (2527, 2527));
        assert_eq!(reserved.lines.iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["honey", "oat-milk"]);
        assert!(reserved.changes.is_empty());
        assert_eq!((on_hand(&world, "honey"), on_hand(&world, "oat-milk")), (Some(8), Some(7)));
        assert_eq!(world.status(KEY).expect("a status").text, "All items reserved");
        assert_eq!(world.status("sku/honey").expect("a status").data["on_hand"], 8);
    }
}

#[test]
fn missing_articles_are_substituted_or_dropped_before_payment() {
    let mut world = world();
    let order = [("sourdough", 1, true), ("sourdough", 1, false), ("fig-jam", 1, true), ("coffee-beans", 1, true)];
    let reserved = the_reservation(&settle(&mut world, accepted(&order), false));
    assert_eq!(reserved.lines.iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["rye-bread", "coffee-beans"]);
    assert_eq!((reserved.ordered_total_cents, reserved.total_cents), (3040, 1910));
    let changes: Vec<_> = reserved.changes.iter().map(|change| (change.line, change.kind)).collect();
    assert_eq!(changes, [(0, ChangeKind::Substituted), (1, ChangeKind::Unavailable), (2, ChangeKind::Unavailable)]);
    let by = reserved.changes[0].by.as_ref().expect("what is sent instead");
    assert_eq!((by.sku.as_str(), by.unit_price_cents), ("rye-bread", 420));
    assert_eq!(world.status(KEY).expect("a status").text, "Items reserved with 3 changes, now €19.10");
}

#[test]
fn an_order_of_which_nothing_is_left_is_unavailable() {
    let mut world = world();
    let emitted = settle(&mut world, accepted(&[("fig-jam", 1, true), ("honey", 11, true)]), false);
    let unavailable: InventoryUnavailable = serde_json::from_slice(&emitted[0].data).expect("unavailable");
    assert_eq!((emitted.len(), unavailable.changes.len()), (1, 2));
    assert_eq!(world.status(KEY).expect("a status").state, "unavailable");
    world.run(cancelled(), handle).did_nothing();
    assert_eq!(on_hand(&world, "honey"), Some(10));
}

#[test]
fn stock_is_given_back_once() {
    let mut world = world();
    settle(&mut world, accepted(&[("sourdough", 4, true), ("honey", 1, true)]), false);
    assert_eq!(on_hand(&world, "rye-bread"), Some(6));
    assert!(settle(&mut world, declined(), false).is_empty());
    assert_eq!((on_hand(&world, "rye-bread"), on_hand(&world, "honey")), (Some(10), Some(10)));
    assert_eq!(world.status(KEY).expect("a status").state, "released");
    world.run(cancelled(), handle).did_nothing();
    world.run(declined(), handle).did_nothing();
}

#[test]
fn an_order_cancelled_while_lines_are_open_gives_each_back() {
    let mut world = world();
    let begun = world.run(accepted(&[("honey", 1, false), ("oat-milk", 2, false)]), handle);
    let answers: Vec<Run> =
        begun.emissions().iter().map(|request| world.run(Delivery::of_emitted(request), handle)).collect();
    world.run(Delivery::of_emitted(&answers[0].emissions()[0]), handle).completed();
    let run = world.run(cancelled(), handle);
    assert_eq!(run.emitted::<StockReleased>()[0].sku, "honey");
    let late = world.run(Delivery::of_emitted(&answers[1].emissions()[0]), handle);
    assert_eq!(late.emitted::<StockReleased>()[0].sku, "oat-milk");
    for run in [&run, &late] {
        world.run(Delivery::of_emitted(&run.emissions()[0]), handle).completed();
    }
    assert_eq!((on_hand(&world, "honey"), on_hand(&world, "oat-milk")), (Some(10), Some(10)));
}

#[test]
fn second_answers_and_orders_change_nothing() {
    let mut world = world();
    let begun = world.run(accepted(&[("honey", 1, false)]), handle);
    world.run(accepted(&[("honey", 1, false)]), handle).did_nothing();
    let answered = world.run(Delivery::of_emitted(&begun.emissions()[0]), handle);
    let answer = &answered.emissions()[0];
    assert_eq!((answer.key.as_str(), answer.subject.as_str()), (KEY, KEY));
    world.run(Delivery::of_emitted(answer), handle).completed();
    let again = world.run(Delivery::of_emitted(answer), handle);
    assert_eq!(again.emitted::<StockReleased>().len(), 1, "units that are no longer needed are returned");
    assert!(again.emitted::<InventoryReserved>().is_empty());
    world.run(cancelled().key("order/unknown"), handle).did_nothing();
}

#[test]
fn the_longest_order_stays_within_the_limits() {
    let mut world = world().config("stock.dark-chocolate", "0").config("stock.milk-chocolate", "3000");
    let lines = [("dark-chocolate", 99, true); 30];
    let reserved = the_reservation(&settle(&mut world, accepted(&lines), false));
    assert_eq!((reserved.lines.len(), reserved.changes.len()), (30, 30));
    assert_eq!(on_hand(&world, "milk-chocolate"), Some(30));
    assert!(settle(&mut world, cancelled(), true).is_empty());
    assert_eq!(on_hand(&world, "milk-chocolate"), Some(3_000));
}

#[test]
fn a_count_shows_the_stock_or_sets_it() {
    let count = |on_hand| Delivery::of(&StockCounted { sku: "sourdough".into(), on_hand }).key("sku/sourdough");
    let mut world = world();
    for (on_hand, state, shown) in
        [(None, "sold-out", 0), (Some(3), "in-stock", 3), (None, "in-stock", 3), (Some(0), "sold-out", 0)]
    {
        let run = world.run(count(on_hand), handle);
        assert_eq!((run.status().state.as_str(), &run.status().data["on_hand"]), (state, &shown.into()), "{on_hand:?}");
    }
    assert!(world.run(count(None).key("sku/honey"), handle).failure().is_permanent());
    world.configure("stock.sourdough", "by-hand");
    assert_eq!(world.run(count(None), handle).status().state, "by-hand");
}

#[test]
fn a_setting_that_is_not_a_number_can_be_corrected() {
    let article = Article { sku: "honey".into(), name: "Forest honey".into(), unit_price_cents: 890 };
    let request =
        StockRequested { order: "o-1".into(), line: 0, article, quantity: 1, substitutes_ok: false, instead_of: None };
    let delivery = Delivery::of(&request).key("sku/honey");
    let run = delivery.clone().config("stock.honey", "lots").run(handle);
    assert!(run.failure().is_transient());
    assert!(!delivery.run(handle).emitted::<StockAnswered>()[0].reserved, "no setting, no stock");
}
