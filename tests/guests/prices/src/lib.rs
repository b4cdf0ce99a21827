//! A guest that keeps the price of an article. A price that is not positive is wrong: if there was a valid one before, the
//! guest corrects it, otherwise an operator has to. A price that is set for a time ends with a timer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The key is the article.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventType)]
#[event("price.set")]
pub struct PriceSet {
    pub cents: i64,
    /// How long it applies; absent: until the next one.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// The timer's event.
#[derive(Debug, PartialEq, Serialize, Deserialize, EventType)]
#[event("price.ended")]
pub struct PriceEnded {
    pub cents: i64,
}

#[derive(Debug, Events)]
pub enum Incoming {
    Set(PriceSet),
    Ended(PriceEnded),
}

/// # Errors
/// Correctable: the price is not positive.
#[handler(on_correctable = last_price, on_corrected = announce)]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let price = match event.data {
        Incoming::Ended(ended) => {
            context.state().delete("cents");
            context.set_status("ended", format!("{} cents no more", ended.cents));
            return Ok(());
        }
        Incoming::Set(price) => price,
    };
    if price.cents <= 0 {
        return Err(Failure::correctable("a wrong price", format!("{} cents is not positive", price.cents)));
    }
    context.state().set("cents", &price.cents)?;
    context.set_status("priced", format!("{} cents", price.cents));
    match price.seconds {
        Some(seconds) => {
            let due = Due::after(Duration::from_secs(seconds));
            context.start_timer("end", due, &PriceEnded { cents: price.cents });
        }
        None => context.cancel_timer("end"),
    }
    Ok(())
}

/// The article's present price.
#[must_use]
pub fn last_price(event: Event<PriceSet>, context: &Context, failure: &CorrectableFailure) -> Option<PriceSet> {
    let mut price = event.data;
    price.cents = context.state().get("cents").ok()??;
    context.info(format!("{}, so it stays at {}", failure.what_is_wrong, price.cents));
    Some(price)
}

/// # Errors
/// Correctable: it was repaired to have no price.
pub fn announce(repair: &Repair, context: &mut Context) -> Result<(), Failure> {
    let Some(cents) = context.state().get::<i64>("cents")? else {
        return Err(Failure::correctable("no price is left", format!("replay {} removed it", repair.replay)));
    };
    context.set_status("repaired", format!("{cents} cents: {}", repair.reason));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    fn price(cents: i64, seconds: Option<u64>) -> Delivery {
        Delivery::of(&PriceSet { cents, seconds }).key("sku/a-7")
    }

    #[test]
    fn a_wrong_price_is_corrected_from_the_last_valid_one() {
        let mut world = World::new();
        let failure = world.run(price(0, None), handle).failure().clone();
        assert!(world.correct(&price(0, None), &failure, last_price).is_none());
        world.run(price(250, None), handle).completed();
        let corrected = world.correct(&price(0, None), &failure, last_price).expect("a price");
        assert_eq!(corrected.data::<PriceSet>().cents, 250);
    }

    #[test]
    fn a_price_expires() {
        let mut world = World::new();
        assert_eq!(world.run(price(90, Some(60)), handle).timer("end").event::<PriceEnded>().cents, 90);
        assert_eq!(world.fire("sku/a-7", "end", handle).status().text, "90 cents no more");
        assert_eq!(world.state::<i64>("sku/a-7", "cents"), None);
    }
}
