//! A saga with a deadline in the test kit: timers that are started, replaced, cancelled and delivered.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::time::Duration;

use weirgate_sdk::{
    prelude::*,
    testing::{Delivery, Timer, World},
};

#[derive(Serialize, Deserialize, EventType)]
#[event("order.placed")]
struct Placed {
    minutes: u64,
}

#[derive(Serialize, Deserialize, EventType)]
#[event("order.paid")]
struct Paid {}

#[derive(Debug, PartialEq, Serialize, Deserialize, EventType)]
#[event("payment.overdue")]
struct PaymentOverdue {
    reminders: u32,
}

#[derive(Events)]
enum Incoming {
    Placed(Placed),
    Paid(Paid),
    Overdue(PaymentOverdue),
}

const DEADLINE: &str = "payment-deadline";

#[handler]
fn escrow(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Placed(placed) => {
            let due = Due::after(Duration::from_secs(60 * placed.minutes));
            context.start_timer(DEADLINE, due, &PaymentOverdue { reminders: 0 });
        }
        Incoming::Paid(_) => {
            context.state().set("paid", &true)?;
            context.cancel_timer(DEADLINE);
        }
        // It may have fired just before the payment came.
        Incoming::Overdue(_) if context.state().get("paid")?.unwrap_or(false) => {}
        Incoming::Overdue(overdue) => {
            context.set_status("overdue", format!("asked by {} at {}", event.source, context.delivery().key));
            let reminders = overdue.reminders + 1;
            context.start_timer(DEADLINE, Due::AtMs(7), &PaymentOverdue { reminders });
        }
    }
    Ok(())
}

fn placed() -> Delivery {
    Delivery::of(&Placed { minutes: 30 }).key("order/o-1")
}

#[test]
fn started_and_cancelled_timers_can_be_inspected() {
    let run = placed().run(escrow);
    let timer = run.timer(DEADLINE);
    assert_eq!((timer.due, timer.key.as_str()), (Due::after(Duration::from_secs(1_800)), "order/o-1"));
    assert_eq!(timer.event::<PaymentOverdue>(), PaymentOverdue { reminders: 0 });
    assert_eq!((run.timers().len(), run.cancelled_timers().len()), (1, 0));
    let run = Delivery::of(&Paid {}).run(escrow);
    assert_eq!((run.timers(), run.cancelled_timers()), (Vec::<&Timer>::new(), vec![DEADLINE]));
}

#[test]
fn the_event_of_a_timer_can_be_delivered() {
    let run = placed().run(escrow);
    let run = Delivery::of_timer(run.timer(DEADLINE)).handler("escrow").run(escrow);
    assert_eq!(run.status().text, "asked by /weirgate/timers/escrow at order/o-1");
    assert_eq!(run.timer(DEADLINE).event::<PaymentOverdue>().reminders, 1);
}

#[test]
fn a_world_keeps_timers_until_they_fire_or_are_cancelled() {
    let mut world = World::new().handler("escrow");
    world.run(placed(), escrow).completed();
    assert!(world.timer("order/o-2", DEADLINE).is_none(), "another key's");
    world.fire("order/o-1", DEADLINE, escrow).completed();
    assert_eq!(world.timer("order/o-1", DEADLINE).expect("started again").due, Due::AtMs(7));
    let late = world.timer("order/o-1", DEADLINE).expect("it is about to fire").clone();
    world.run(Delivery::of(&Paid {}).key("order/o-1"), escrow).completed();
    assert!(world.timer("order/o-1", DEADLINE).is_none());
    world.run(Delivery::of_timer(&late), escrow).did_nothing();
}

#[test]
#[should_panic(expected = "no timer payment-deadline of order/o-1 is running")]
fn a_timer_that_does_not_run_cannot_fire() {
    World::new().fire("order/o-1", DEADLINE, escrow);
}
