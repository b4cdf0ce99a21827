//! A guest that counts the events of a key in batches. Its state is a number under `count` in version 1, and under `sum` later. A
//! negative number cannot be migrated.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The key is what is counted.
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("counter.add")]
pub struct Add {
    pub count: i64,
}

/// # Errors
/// The state cannot be read.
#[batch_handler(migrate_state = migrate)]
pub fn handle(items: &mut [Item<Add>]) -> Result<(), Failure> {
    let together = items.len();
    for item in items {
        let is_first = item.context.config("state").as_deref() == Some("1");
        let name = if is_first { "count" } else { "sum" };
        let count = item.context.state().get(name)?.unwrap_or(0) + item.event.data.count;
        item.context.state().set(name, &count)?;
        item.context.set_status("counted", format!("{count}")).data(&together);
    }
    Ok(())
}

/// # Errors
/// The count is negative.
pub fn migrate(_: u32, context: &Context) -> Result<(), Failure> {
    let count: i64 = context.state().get("count")?.unwrap_or_default();
    if count < 0 {
        return Err(Failure::permanent(format!("{count} is negative")));
    }
    context.info(format!("migrated {}", context.delivery().key));
    context.state().delete("count");
    context.state().set("sum", &(count + 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    #[test]
    fn one_that_cannot_be_migrated_leaves_the_others_for_later() {
        let add = |key: &str, count: i64| Delivery::of(&Add { count: 1 }).key(key).state("count", &count);
        let batch = [add("a", 1).migrating(1, migrate), add("b", -1).migrating(1, migrate)];
        let runs = World::new().run_batch(batch, handle);
        assert_eq!(runs[1].failure().message(), "the state of version 1 is not migrated: -1 is negative");
        assert!(runs[0].is_blocked(), "it waits for the next call");
        let batch = [add("a", 1).migrating(1, migrate), Delivery::of(&Add { count: 1 }).key("a")];
        let runs = World::new().run_batch(batch, handle);
        assert_eq!(runs[1].completed().state::<i64>("sum"), Some(1_003));
    }
}
