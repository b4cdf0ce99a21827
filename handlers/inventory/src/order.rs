//! Deliveries under `order/<id>`: request stock for each line, collect the answers, and publish the result.

use order_events::{
    Article, Change, InventoryReserved, InventoryUnavailable, Line, OrderAccepted, PACE_TIMER, StockAnswered,
    StockCollected, StockReleased, StockRequested, euros, pace, stock_key, total_cents,
};
use serde::Serialize;
use weirgate_sdk::prelude::*;

use crate::collection::{Collection, Stage};

pub const COLLECTION: &str = "collection";

#[derive(Serialize)]
struct CheckingData {
    lines: usize,
    answered: usize,
}

#[derive(Serialize)]
struct ReservedData<'a> {
    lines: &'a [Line],
    total_cents: u64,
    ordered_total_cents: u64,
    changes: &'a [Change],
}

#[derive(Serialize)]
struct UnavailableData<'a> {
    changes: &'a [Change],
}

#[derive(Serialize)]
struct ReleasedData {}

/// Requests the stock of every line, each from its article.
pub fn begin(accepted: OrderAccepted, context: &mut Context) -> Result<(), Failure> {
    if context.state().get::<Collection>(COLLECTION)?.is_some() {
        context.warn("the order was accepted before; this second event changes nothing");
        return Ok(());
    }
    let collection = Collection::of(&accepted);
    context.state().set(COLLECTION, &collection)?;
    tell_progress(&collection, context);
    for (line, placed) in accepted.lines.into_iter().enumerate() {
        let article = Article { sku: placed.sku, name: placed.name, unit_price_cents: placed.unit_price_cents };
        let request = StockRequested {
            order: accepted.order.clone(),
            line,
            article,
            quantity: placed.quantity,
            substitutes_ok: placed.substitutes_ok,
            instead_of: None,
        };
        context.emit_to(stock_key(&request.article.sku), &request);
    }
    Ok(())
}

/// Adds an answer; after the last one, publishes the result.
pub fn answer(answered: StockAnswered, context: &mut Context) -> Result<(), Failure> {
    let mut collection = context.state().get::<Collection>(COLLECTION)?;
    let kept = collection.as_mut().is_some_and(|collection| collection.keep(&answered));
    let Some(mut collection) = collection.filter(|_| kept) else {
        give_back_answer(answered, context);
        return Ok(());
    };
    go_on(answered.order, &mut collection, context)
}

/// One more line is answered.
pub fn go_on(order: String, collection: &mut Collection, context: &mut Context) -> Result<(), Failure> {
    if collection.answered() < collection.lines() {
        tell_progress(collection, context);
    } else if let Some(done) = pace(context)? {
        tell_progress(collection, context);
        context.start_timer(PACE_TIMER, done, &StockCollected { order });
    } else {
        conclude(order, collection, context);
    }
    context.state().set(COLLECTION, collection)
}

/// The items are collected, unless the order was cancelled meanwhile.
pub fn collected(order: String, context: &mut Context) -> Result<(), Failure> {
    let collection = context.state().get::<Collection>(COLLECTION)?;
    let Some(mut collection) = collection.filter(|collection| collection.stage == Stage::Checking) else {
        context.info("nothing to collect: the order does not wait for its items");
        return Ok(());
    };
    conclude(order, &mut collection, context);
    context.state().set(COLLECTION, &collection)
}

/// Returns everything, once.
pub fn release(order: &str, context: &mut Context) -> Result<(), Failure> {
    let Some(mut collection) = context.state().get::<Collection>(COLLECTION)? else { return Ok(()) };
    if matches!(collection.stage, Stage::Unavailable | Stage::Released) {
        return Ok(());
    }
    for line in collection.taken() {
        emit_release(order, line.sku, line.quantity, context);
    }
    collection.stage = Stage::Released;
    context.state().set(COLLECTION, &collection)?;
    context.set_status("released", "Items are back in stock").data(&ReleasedData {});
    Ok(())
}

fn conclude(order: String, collection: &mut Collection, context: &mut Context) {
    let (lines, changes) = (collection.reserved(), collection.changes());
    if lines.is_empty() {
        collection.stage = Stage::Unavailable;
        context.set_status("unavailable", "Everything in it is sold out").data(&UnavailableData { changes: &changes });
        context.emit(&InventoryUnavailable { order, changes });
        return;
    }
    collection.stage = Stage::Reserved;
    let (total_cents, ordered_total_cents) = (total_cents(&lines), collection.total_cents);
    let text = match changes.len() {
        0 => "All items reserved".to_owned(),
        1 => format!("Items reserved with 1 change, now {}", euros(total_cents)),
        n => format!("Items reserved with {n} changes, now {}", euros(total_cents)),
    };
    let data = ReservedData { lines: &lines, total_cents, ordered_total_cents, changes: &changes };
    context.set_status("reserved", text).data(&data);
    context.emit(&InventoryReserved { order, lines, total_cents, ordered_total_cents, changes });
}

/// An answer that is no longer needed.
fn give_back_answer(answered: StockAnswered, context: &mut Context) {
    context.warn(format!("line {} does not wait for an answer", answered.line));
    if answered.reserved {
        emit_release(&answered.order, answered.article.sku, answered.quantity, context);
    }
}

fn emit_release(order: &str, sku: String, quantity: u32, context: &mut Context) {
    context.emit_to(stock_key(&sku), &StockReleased { order: order.to_owned(), sku, quantity });
}

fn tell_progress(collection: &Collection, context: &mut Context) {
    let data = CheckingData { lines: collection.lines(), answered: collection.answered() };
    context.set_status("checking", format!("Checked {} of {} items", data.answered, data.lines)).data(&data);
}
