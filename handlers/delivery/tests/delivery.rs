//! The delivery handler in the native test kit.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use delivery_handler::handle;
use order_events::{DeliveryDelivered, DeliveryDispatched, DeliveryPacked, InvoiceCreated};
use weirgate_sdk::testing::{Delivery, World};

const KEY: &str = "order/o-1";

fn invoiced() -> Delivery {
    Delivery::of(&InvoiceCreated {
        order: "o-1".into(),
        number: "INV-000021".into(),
        lines: vec![],
        total_cents: 1910,
        net_cents: 1592,
        vat_cents: 318,
        vat_percent: 20,
        reference: "pay-payment@17".into(),
    })
    .key(KEY)
}

#[test]
fn a_parcel_goes_one_step_an_event() {
    let mut world = World::new();
    let run = world.run(invoiced().position(24), handle);
    assert_eq!((run.status().state.as_str(), &run.status().data["parcel"]), ("packed", &"WG-000024".into()));
    assert_eq!(run.emitted::<DeliveryPacked>()[0].parcel, "WG-000024");

    let run = world.run(Delivery::of_emitted(&run.emissions()[0]), handle);
    assert_eq!((run.status().state.as_str(), run.emitted::<DeliveryDispatched>().len()), ("dispatched", 1));

    let run = world.run(Delivery::of_emitted(&run.emissions()[0]), handle);
    assert_eq!((run.status().state.as_str(), &run.status().data["parcel"]), ("delivered", &"WG-000024".into()));
    assert_eq!(run.emitted::<DeliveryDelivered>()[0].parcel, "WG-000024");
}

#[test]
fn steps_are_made_once_and_forwards() {
    let packed = || Delivery::of(&DeliveryPacked { order: "o-1".into(), parcel: "WG-000024".into() }).key(KEY);
    let dispatched = || Delivery::of(&DeliveryDispatched { order: "o-1".into(), parcel: "WG-000024".into() }).key(KEY);
    let mut world = World::new();
    world.run(packed(), handle).did_nothing();
    world.run(dispatched(), handle).did_nothing();
    world.run(invoiced(), handle).completed();
    world.run(invoiced(), handle).did_nothing();
    world.run(dispatched(), handle).did_nothing();
    world.run(packed(), handle).completed();
    world.run(packed(), handle).did_nothing();
    world.run(dispatched(), handle).completed();
    world.run(dispatched(), handle).did_nothing();
    assert_eq!(world.status(KEY).expect("a status").state, "delivered");
}
