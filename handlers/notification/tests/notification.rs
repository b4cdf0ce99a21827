//! The notification handler in the native test kit.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use notification_handler::handle;
use order_events::{
    Article, Change, ChangeKind, Customer, DeliveryDelivered, DeliveryDispatched, InventoryReserved, NotificationSent,
    OrderAccepted, OrderCancelled, PaymentCharged, PaymentDeclined, PaymentRefunded,
};
use weirgate_sdk::testing::{Delivery, World};

const KEY: &str = "order/o-1";

fn order() -> String {
    "o-1".into()
}

fn accepted() -> Delivery {
    let customer = Customer { name: "Ada".into(), email: "ada@example.org".into(), address: "London".into() };
    let accepted = OrderAccepted { order: order(), customer, lines: vec![], card: String::new(), total_cents: 1970 };
    Delivery::of(&accepted).key(KEY)
}

fn reserved(changes: Vec<Change>) -> Delivery {
    let (total_cents, ordered_total_cents) = (1910, 1970);
    let reserved = InventoryReserved { order: order(), lines: vec![], total_cents, ordered_total_cents, changes };
    Delivery::of(&reserved).key(KEY)
}

fn substituted() -> Change {
    let by = Article { sku: "rye-bread".into(), name: "Rye bread".into(), unit_price_cents: 420 };
    Change {
        kind: ChangeKind::Substituted,
        line: 0,
        sku: "sourdough".into(),
        name: "Sourdough bread".into(),
        quantity: 1,
        unit_price_cents: 480,
        by: Some(by),
    }
}

fn declined() -> Delivery {
    Delivery::of(&PaymentDeclined { order: order(), total_cents: 1910, reason: "no funds".into() }).key(KEY)
}

fn cancelled() -> Delivery {
    Delivery::of(&OrderCancelled { order: order(), reason: "no funds".into() }).key(KEY)
}

/// Delivers all, and returns the kinds of the mails.
fn kinds(world: &mut World, deliveries: Vec<Delivery>) -> Vec<String> {
    let runs = deliveries.into_iter().map(|delivery| world.run(delivery, handle));
    runs.flat_map(|run| run.emitted::<NotificationSent>()).map(|mail| mail.kind).collect()
}

#[test]
fn a_customer_gets_one_mail_per_step() {
    let charged =
        || Delivery::of(&PaymentCharged { order: order(), total_cents: 1910, reference: "r".into() }).key(KEY);
    let dispatched = || Delivery::of(&DeliveryDispatched { order: order(), parcel: "WG-1".into() }).key(KEY);
    let delivered = || Delivery::of(&DeliveryDelivered { order: order(), parcel: "WG-1".into() }).key(KEY);
    let all = || vec![accepted(), reserved(vec![substituted()]), charged(), dispatched(), delivered()];
    let mut world = World::new();
    assert_eq!(kinds(&mut world, all()), ["accepted", "changed", "charged", "dispatched", "delivered"]);
    assert!(kinds(&mut world, all()).is_empty(), "no mail is sent twice");
    let status = world.status(KEY).expect("a status");
    assert_eq!((status.state.as_str(), status.text.as_str()), ("sent", "Mail 5: Your order has arrived"));
    assert_eq!((&status.data["count"], &status.data["last"]["kind"]), (&5.into(), &"delivered".into()));
}

#[test]
fn a_change_is_described_in_words() {
    let mut world = World::new();
    world.run(accepted(), handle).completed();
    let unavailable = Change { kind: ChangeKind::Unavailable, by: None, ..substituted() };
    let run = world.run(reserved(vec![substituted(), unavailable]), handle);
    let mail = &run.emitted::<NotificationSent>()[0];
    assert_eq!(mail.to, "ada@example.org");
    assert_eq!(
        mail.text,
        "Dear Ada, in order o-1: 1 x Rye bread instead of Sourdough bread; 1 x Sourdough bread is sold out. \
         It comes to €19.10 instead of €19.70."
    );
}

#[test]
fn an_order_without_changes_causes_no_mail() {
    let mut world = World::new();
    assert_eq!(kinds(&mut world, vec![accepted(), reserved(vec![])]), ["accepted"]);
}

#[test]
fn a_declined_and_cancelled_order_causes_one_mail() {
    assert_eq!(kinds(&mut World::new(), vec![accepted(), declined(), cancelled()]), ["accepted", "declined"]);
    assert_eq!(kinds(&mut World::new(), vec![accepted(), cancelled()]), ["accepted", "cancelled"]);
}

#[test]
fn a_refunded_late_payment_causes_one_mail() {
    let charged = Delivery::of(&PaymentCharged { order: order(), total_cents: 1910, reference: "r".into() }).key(KEY);
    let refunded = PaymentRefunded {
        order: order(),
        total_cents: 1910,
        reference: "r".into(),
        reason: "it was not paid within 10 min".into(),
        replay: None,
    };
    let mut world = World::new();
    let late = vec![accepted(), cancelled(), charged];
    assert_eq!(kinds(&mut world, late), ["accepted", "cancelled"]);
    let mail = &world.run(Delivery::of(&refunded).key(KEY), handle).emitted::<NotificationSent>()[0];
    assert_eq!(mail.kind, "refunded");
    assert_eq!(
        mail.text,
        "Dear Ada, we have charged €19.10 for order o-1 and pay it back, because it was not paid within 10 min."
    );
}

#[test]
fn without_an_address_there_is_no_mail() {
    assert!(kinds(&mut World::new(), vec![declined(), cancelled()]).is_empty());
}
