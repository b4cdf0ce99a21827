//! The inventory handler and picked products, known and unknown.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use inventory_handler::{handle, marked_price};
use order_events::{
    ChangeKind, Customer, InventoryReserved, InventoryUnavailable, OrderAccepted, OrderCancelled, PlacedLine,
    StockPicked, StockReleased, catalogue,
};
use weirgate_sdk::testing::{Delivery, Run, World};

const KEY: &str = "order/o-1";

fn accepted(lines: &[(&str, bool)]) -> Delivery {
    let line = |(sku, substitutes_ok): &(&str, bool)| {
        let entry = catalogue::find(sku).expect("an article");
        let (sku, name, unit_price_cents) = (entry.sku.into(), entry.name.into(), entry.price_cents);
        PlacedLine { sku, name, quantity: 2, unit_price_cents, substitutes_ok: *substitutes_ok }
    };
    let accepted = OrderAccepted {
        order: "o-1".into(),
        customer: Customer { name: "Ada".into(), email: "ada@example.org".into(), address: "London".into() },
        lines: lines.iter().map(line).collect(),
        card: String::new(),
        total_cents: 2740,
    };
    Delivery::of(&accepted).key(KEY)
}

/// An order of counted honey and, in line 1, bread that is picked by hand.
fn world() -> World {
    let mut world = World::new().config("stock.default", "10").config("stock.sourdough", "by-hand");
    let begun = world.run(accepted(&[("honey", false), ("sourdough", true)]), handle);
    for request in begun.emissions() {
        let run = world.run(Delivery::of_emitted(request), handle);
        for answer in run.emissions() {
            world.run(Delivery::of_emitted(answer), handle).completed();
        }
    }
    assert_eq!(world.status(KEY).expect("a status").text, "Checked 1 of 2 items");
    assert_eq!(world.status("sku/sourdough").expect("a status").state, "by-hand");
    world
}

fn picked(line: usize, sku: Option<&str>) -> StockPicked {
    let sku = sku.map(Into::into);
    StockPicked { order: "o-1".into(), line, sku, name: None, marked_price_cents: None, unit_price_cents: None }
}

fn pick(world: &mut World, picked: &StockPicked) -> Run {
    world.run(Delivery::of(picked).key(KEY), handle)
}

#[test]
fn a_known_product_has_its_price_from_the_catalogue() {
    for (sku, cents, changes) in [("sourdough", 480, 0), ("rye-bread", 420, 1), ("olive-oil", 480, 1)] {
        let run = pick(&mut world(), &picked(1, Some(sku)));
        let reserved = &run.emitted::<InventoryReserved>()[0];
        assert_eq!((reserved.lines[1].sku.as_str(), reserved.lines[1].unit_price_cents), (sku, cents));
        assert_eq!(reserved.changes.len(), changes, "{sku}");
    }
}

#[test]
fn an_order_without_picked_articles_is_not_sent() {
    let mut world = world();
    let reserved = &pick(&mut world, &picked(1, None)).emitted::<InventoryReserved>()[0];
    assert_eq!((reserved.lines.len(), reserved.changes[0].kind), (1, ChangeKind::Unavailable));
    pick(&mut world, &picked(1, Some("sourdough"))).did_nothing();
}

#[test]
fn an_unknown_product_costs_its_marked_price() {
    let mut world = world();
    let name = Some("Loaf from next door".into());
    let product = StockPicked { name, marked_price_cents: Some(399), ..picked(1, Some("loaf")) };
    let delivery = Delivery::of(&product).key(KEY);
    let failure = world.run(delivery.clone(), handle).failure().clone();
    assert_eq!(failure.message(), "unknown product");
    let corrected = world.correct(&delivery, &failure, marked_price).expect("it is marked");
    let reserved = &world.run(corrected, handle).emitted::<InventoryReserved>()[0];
    let line = &reserved.lines[1];
    assert_eq!((line.name.as_str(), line.unit_price_cents, line.quantity), ("Loaf from next door", 399, 2));
    assert_eq!(reserved.total_cents, 2 * 890 + 2 * 399);
}

#[test]
fn an_unknown_product_without_a_price_awaits_correction() {
    let mut world = world();
    for marked_price_cents in [None, Some(0), Some(100_001)] {
        let delivery = Delivery::of(&StockPicked { marked_price_cents, ..picked(1, Some("loaf")) }).key(KEY);
        let failure = world.run(delivery.clone(), handle).failure().clone();
        assert!(failure.to_string().contains("does not know `loaf`; give its `unit_price_cents`"), "{failure}");
        assert!(world.correct(&delivery, &failure, marked_price).is_none());
    }
    let by_hand = StockPicked { unit_price_cents: Some(9_999), ..picked(1, Some("loaf")) };
    let reserved = &pick(&mut world, &by_hand).emitted::<InventoryReserved>()[0];
    let line = &reserved.lines[1];
    assert_eq!((line.name.as_str(), line.unit_price_cents), ("loaf", 480), "never more than what was ordered");
}

#[test]
fn a_customer_who_refuses_substitutes_gets_none() {
    let mut world = World::new().config("stock.default", "by-hand");
    world.run(accepted(&[("honey", false)]), handle).completed();
    let delivery = Delivery::of(&StockPicked { marked_price_cents: Some(5), ..picked(0, Some("loaf")) }).key(KEY);
    let failure = world.run(delivery.clone(), handle).failure().clone();
    assert!(failure.is_correctable() && failure.message() == "the customer takes nothing else");
    assert!(world.correct(&delivery, &failure, marked_price).is_none(), "a price does not help");
    assert_eq!(pick(&mut world, &picked(0, None)).emitted::<InventoryUnavailable>().len(), 1);
}

#[test]
fn picks_of_lines_that_are_not_open_change_nothing() {
    pick(&mut World::new(), &picked(1, Some("sourdough"))).did_nothing();
    let mut world = world();
    pick(&mut world, &picked(0, Some("honey"))).did_nothing();
    pick(&mut world, &picked(2, Some("honey"))).did_nothing();
    let elsewhere = world.run(Delivery::of(&picked(1, None)).key("order/o-2"), handle);
    assert!(elsewhere.failure().is_permanent());
}

#[test]
fn picked_articles_are_not_returned_to_stock() {
    let mut world = world();
    pick(&mut world, &picked(1, Some("rye-bread"))).completed();
    let cancelled = OrderCancelled { order: "o-1".into(), reason: "no".into() };
    let released = world.run(Delivery::of(&cancelled).key(KEY), handle).emitted::<StockReleased>();
    assert_eq!(released.iter().map(|stock| stock.sku.as_str()).collect::<Vec<_>>(), ["honey"]);
}
