//! The inventory handler. It works under two kinds of keys: `order/<id>`, where the answers for an order's lines are
//! collected, and `sku/<sku>`, where units of one article are taken and returned. It sends itself events between them, so
//! that one article's stock is never changed by two orders at once.

mod collection;
mod order;
mod pick;
mod stock;

use order_events::{
    OrderAccepted, OrderCancelled, PaymentDeclined, StockAnswered, StockCollected, StockCounted, StockPicked,
    StockReleased, StockRequested,
};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Accepted(OrderAccepted),
    Answered(StockAnswered),
    Picked(StockPicked),
    Cancelled(OrderCancelled),
    Declined(PaymentDeclined),
    Requested(StockRequested),
    Released(StockReleased),
    Counted(StockCounted),
    /// From its own timer.
    Collected(StockCollected),
}

pub use pick::marked_price;

/// # Errors
/// Transient: a setting `stock.*` or `pace_ms` is not a number. Correctable: a picked product is unknown or not wanted.
/// Permanent: a pick under another order's key, a count under another article's.
#[handler(on_correctable = marked_price)]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Accepted(accepted) => order::begin(accepted, context),
        Incoming::Answered(answered) => order::answer(answered, context),
        Incoming::Picked(picked) => pick::take(picked, context),
        Incoming::Cancelled(news) => order::release(&news.order, context),
        Incoming::Declined(news) => order::release(&news.order, context),
        Incoming::Requested(request) => stock::take(request, context),
        Incoming::Released(released) => stock::give_back(&released, context),
        Incoming::Counted(counted) => stock::count(&counted, context),
        Incoming::Collected(timer) => order::collected(timer.order, context),
    }
}
