//! Lines that a picker answers by hand, where nobody counts the stock. What a picker brings may be no article of the
//! catalogue; then somebody has to say what it costs, and often the product does so itself.

use order_events::{Article, PlacedLine, StockPicked, catalogue, order_key};
use weirgate_sdk::prelude::*;

use crate::{
    collection::Collection,
    order::{self, COLLECTION},
};

const UNKNOWN_PRODUCT: &str = "unknown product";
/// What is more than that, or nothing, is no price.
const PRICE_CENTS_MAX: u64 = 100_000;

/// Put what was picked into its line; one that was answered before stays as it is.
pub fn take(picked: StockPicked, context: &mut Context) -> Result<(), Failure> {
    if order_key(&picked.order) != context.delivery().key {
        return Err(Failure::permanent("something was picked under another order's key"));
    }
    let collection = context.state().get::<Collection>(COLLECTION)?;
    let Some(mut collection) = collection.filter(|collection| collection.open_line(picked.line).is_some()) else {
        context.warn(format!("nobody waits for line {} to be picked", picked.line));
        return Ok(());
    };
    let Some(placed) = collection.open_line(picked.line) else { return Ok(()) };
    let article = article(&picked, placed)?;
    collection.pick(picked.line, article);
    order::go_on(picked.order, &mut collection, context)
}

/// What is sent, at its price; never more than what was ordered costs.
fn article(picked: &StockPicked, placed: &PlacedLine) -> Result<Option<Article>, Failure> {
    let Some(sku) = picked.sku.clone() else { return Ok(None) };
    if sku != placed.sku && !placed.substitutes_ok {
        return Err(Failure::correctable(
            "the customer takes nothing else",
            format!("the line is for `{}`; give that as its `sku`, or null where there is none", placed.sku),
        ));
    }
    let known = catalogue::find(&sku);
    let price = picked.unit_price_cents.filter(is_price).or(known.map(|entry| entry.price_cents));
    let Some(price) = price else {
        return Err(Failure::correctable(
            UNKNOWN_PRODUCT,
            format!("the catalogue does not know `{sku}`; give its `unit_price_cents`, or the `sku` of what it is"),
        ));
    };
    let name = known.map(|entry| entry.name.to_owned()).or_else(|| picked.name.clone());
    let unit_price_cents = price.min(placed.unit_price_cents);
    Ok(Some(Article { name: name.unwrap_or_else(|| sku.clone()), sku, unit_price_cents }))
}

/// Asked about a pick that failed: an unknown product costs what is written on it. One without a mark waits for people.
pub fn marked_price(
    mut event: Event<StockPicked>,
    context: &Context,
    failure: &CorrectableFailure,
) -> Option<StockPicked> {
    if failure.message != UNKNOWN_PRODUCT {
        return None;
    }
    let price = event.data.marked_price_cents.filter(is_price)?;
    context.info(format!("the product is marked with {price} cents"));
    event.data.unit_price_cents = Some(price);
    Some(event.data)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that a filter takes")]
fn is_price(cents: &u64) -> bool {
    (1..=PRICE_CENTS_MAX).contains(cents)
}
