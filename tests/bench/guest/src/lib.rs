//! The benchmark's handler: parses an event, reads and writes one state value, sets one status. The status contains what the
//! driver needs to know which events are done; the handler knows nothing of the driver.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// An order has advanced a step.
#[derive(Debug, Clone, Deserialize, Serialize, EventType)]
#[event("order.moved")]
pub struct OrderMoved {
    /// Increases with every event of a run.
    pub seq: u64,
    pub status: String,
    pub customer: String,
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Line {
    pub sku: String,
    pub quantity: u32,
    pub price_cents: u64,
}

/// The state of an order.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Progress {
    count: u64,
    status: String,
    /// By which a what-if's candidate leaves another state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// An event whose number is a multiple of it makes a call, if the configuration has an address for `calls`.
const CALLED_EACH: u64 = 1_000;

/// The status's data: the event, and how many events the order has had.
#[derive(Serialize)]
struct Seen {
    seq: u64,
    count: u64,
}

/// # Errors
/// As the event's status requests; or the state was not written by this handler.
#[handler]
pub fn handle(event: Event<OrderMoved>, context: &mut Context) -> Result<(), Failure> {
    let OrderMoved { seq, status, .. } = event.data;
    // Fails for an hour, or until the configuration heals it.
    match status.as_str() {
        // Until its limit on CPU time.
        "hog" => compute(),
        "late" => return Err(Failure::transient("not for an hour").retry_after_ms(3_600_000)),
        "poison" if context.config("heals").is_none() => return Err(Failure::transient("not now")),
        _ => {}
    }
    let before = context.state().get::<Progress>("progress")?.unwrap_or_default();
    let calls = context.config("calls");
    let note = calls.as_ref().and_then(|_| context.config("note"));
    if let Some(url) = calls.filter(|_| seq % CALLED_EACH == 0) {
        context.fetch("call", Request::get(format!("{url}/{seq}")))?.ok()?;
    }
    let progress = Progress { count: before.count + 1, status, note };
    context.state().set("progress", &progress)?;
    context.set_status(progress.status, "").data(&Seen { seq, count: progress.count });
    Ok(())
}

fn compute() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    fn moved(seq: u64) -> Delivery {
        let lines = vec![Line { sku: "a-7".into(), quantity: 2, price_cents: 1_250 }];
        let event = OrderMoved { seq, status: format!("s{seq}"), customer: "c-1".into(), lines };
        Delivery::of(&event).key("order/o-1")
    }

    #[test]
    fn late_and_poisoned_orders_do_not_go_through() {
        for status in ["late", "poison"] {
            let lines = Vec::new();
            let event = OrderMoved { seq: 1, status: status.into(), customer: "c-1".into(), lines };
            assert!(Delivery::of(&event).key("order/o-1").run(handle).failure().is_transient());
        }
    }

    #[test]
    fn the_status_names_the_event_and_counts_the_orders_events() {
        let mut world = World::new();
        world.run(moved(3), handle).completed();
        let run = world.run(moved(1_003), handle);
        assert_eq!((run.status().state.as_str(), &run.status().data["seq"]), ("s1003", &1_003.into()));
        assert_eq!(run.status().data["count"], 2);
    }
}
