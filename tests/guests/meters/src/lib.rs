//! A guest that takes the readings of electricity meters in batches, all at once: each meter's share of them is its status.
//! If the setting `tariff` is a URL, its answer is logged for each.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The key is the meter.
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("meter.read")]
pub struct Reading {
    pub watts: i64,
}

/// # Errors
/// Transient for all: no consumption. Permanent for a meter that runs backwards.
#[batch_handler]
pub fn handle(items: &mut [Item<Reading>]) -> Result<(), Failure> {
    let sum: i64 = items.iter().map(|item| item.event.data.watts).sum();
    if sum == 0 {
        return Err(Failure::transient("nothing was used"));
    }
    for item in items {
        if let Some(url) = item.context.config("tariff") {
            let tariff = item.context.fetch("tariff", Request::get(url))?.ok()?.text();
            item.context.info(format!("the tariff: {tariff}"));
        }
        let watts = item.event.data.watts;
        if watts < 0 {
            item.fail(Failure::permanent("a meter does not run backwards"));
            continue;
        }
        let total = item.context.state().get("total")?.unwrap_or(0) + watts;
        item.context.state().set("total", &total)?;
        item.context.info(format!("{watts} more"));
        item.context.set_status("read", format!("{total} in all, {}% of these {sum}", 100 * watts / sum));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    #[test]
    fn each_meter_gets_its_share() {
        let reading = |meter: &str, watts| Delivery::of(&Reading { watts }).key(meter);
        let runs =
            World::new().run_batch([reading("a", 1), reading("b", 3), reading("c", -1), reading("a", 1)], handle);
        assert_eq!(runs[3].status().text, "2 in all, 25% of these 4");
        assert!(runs[2].failure().is_permanent());
    }
}
