//! A guest that takes the readings of electricity meters in batches, one after another.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The key is the meter.
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("meter.read")]
pub struct Reading {
    pub watts: i64,
}

/// # Errors
/// Permanent: a meter runs backwards.
#[batch_handler(on_corrected = read_again)]
pub fn handle(event: Event<Reading>, context: &mut Context) -> Result<(), Failure> {
    println!("{} of {}", event.data.watts, context.delivery().key);
    let total = context.state().get("total")?.unwrap_or(0) + event.data.watts;
    context.state().set("total", &total)?;
    if event.data.watts < 0 {
        return Err(Failure::permanent("a meter does not run backwards"));
    }
    context.set_status("read", format!("{total} in all"));
    Ok(())
}

/// # Errors
/// The total cannot be read.
pub fn read_again(repair: &Repair, context: &mut Context) -> Result<(), Failure> {
    let total: i64 = context.state().get("total")?.unwrap_or(0);
    println!("repaired by {}", repair.replay);
    context.set_status("repaired", format!("{total} in all"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    #[test]
    fn readings_add_up() {
        let mut world = World::new();
        let reading = |watts| Delivery::of(&Reading { watts }).key("meter/a");
        world.run(reading(40), handle).completed();
        assert_eq!(world.run(reading(2), handle).status().text, "42 in all");
        assert!(world.run(reading(-1), handle).failure().is_permanent());
    }
}
