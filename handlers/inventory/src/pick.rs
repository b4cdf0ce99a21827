//! Lines that a picker answers by hand, because their stock is not counted. The picked product may not be in the catalogue;
//! then its price has to come from a correction, often from the mark on the product.

use order_events::{Article, PlacedLine, StockPicked, catalogue, order_key};
use weirgate_sdk::prelude::*;

use crate::{
    collection::Collection,
    order::{self, COLLECTION},
};

const UNKNOWN_PRODUCT: &str = "unknown product";
/// Maximum price, in cents; zero is not a price either.
const PRICE_CENTS_MAX: u64 = 100_000;

/// Adds the pick to its line; a line that was answered before stays unchanged.
pub fn take(picked: StockPicked, context: &mut Context) -> Result<(), Failure> {
    if order_key(&picked.order) != context.delivery().key {
        return Err(Failure::permanent("something was picked under another order's key"));
    }
    let collection = context.state().get::<Collection>(COLLECTION)?;
    let Some(mut collection) = collection.filter(|collection| collection.open_line(picked.line).is_some()) else {
        context.warn(format!("line {} does not wait to be picked", picked.line));
        return Ok(());
    };
    let Some(placed) = collection.open_line(picked.line) else { return Ok(()) };
    let article = article(&picked, placed)?;
    collection.pick(picked.line, article);
    order::go_on(picked.order, &mut collection, context)
}

/// What is sent, at its price; never more than the price of the ordered article.
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

/// The correction hook of a failed pick: an unknown product costs its marked price. One without a mark awaits a correction.
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
