//! The report handler in the native test kit. Time advances when the test says so.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{
    OrderCancelled, OrderCount, OrderPaid, REPORT_KEY, ReportDayClosed, ReportDayPassed, ReportMinutePassed,
};
use report_handler::handle;
use weirgate_sdk::testing::{Delivery, Run, World};

fn paid(order: &str, total_cents: u64) -> Delivery {
    let paid = OrderPaid { order: order.into(), total_cents, reference: "r".into() };
    Delivery::of(&paid).key(format!("order/{order}"))
}

fn cancelled(order: &str) -> Delivery {
    Delivery::of(&OrderCancelled { order: order.into(), reason: "no".into() }).key(format!("order/{order}"))
}

/// Delivers, and then the handler's own counting events.
fn tell(world: &mut World, delivery: Delivery) {
    for counted in world.run(delivery, handle).emissions() {
        world.run(Delivery::of_emitted(counted), handle).did_nothing();
    }
}

fn minute(world: &mut World) -> Run {
    world.run(Delivery::of(&ReportMinutePassed {}).key(REPORT_KEY), handle)
}

fn day(world: &mut World) -> Run {
    world.run(Delivery::of(&ReportDayPassed {}).key(REPORT_KEY), handle)
}

#[test]
fn orders_are_counted_and_shown_once_a_minute() {
    let mut world = World::new();
    minute(&mut world).did_nothing();
    for delivery in [paid("o-1", 1_910), cancelled("o-2"), paid("o-3", 90)] {
        tell(&mut world, delivery);
    }
    assert!(world.status(REPORT_KEY).is_none(), "the minute is not over");
    let shown = minute(&mut world);
    assert_eq!(shown.status().text, "Today 2 orders paid, €20.00; 1 cancelled");
    assert_eq!(shown.status().data["today"]["paid_cents"], 2_000);
    minute(&mut world).did_nothing();
}

#[test]
fn a_day_is_closed_and_the_next_begins_at_zero() {
    let mut world = World::new();
    tell(&mut world, paid("o-1", 1_910));
    let closed = day(&mut world);
    let count = OrderCount { paid: 1, paid_cents: 1_910, cancelled: 0 };
    assert_eq!(closed.emitted::<ReportDayClosed>(), [ReportDayClosed { count }]);
    assert_eq!(closed.status().data["today"]["paid"], 0);
    assert_eq!(closed.status().data["yesterday"]["paid"], 1);
    tell(&mut world, cancelled("o-2"));
    assert_eq!(minute(&mut world).status().text, "Today 0 orders paid, €0.00; 1 cancelled");
    assert_eq!(day(&mut world).emitted::<ReportDayClosed>()[0].count.cancelled, 1);
    let quiet = day(&mut world).emitted::<ReportDayClosed>();
    assert_eq!(quiet[0].count, OrderCount::default(), "a day without orders is published too");
}
