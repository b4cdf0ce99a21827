//! Deliveries under `sku/<sku>`: take units of one article, offer its substitute, return units, count them. All units of a
//! line or none.

use order_events::{StockAnswered, StockCounted, StockReleased, StockRequested, catalogue, order_key, stock_key};
use serde::Serialize;
use weirgate_sdk::prelude::*;

const ON_HAND: &str = "on-hand";
/// The setting of an article whose stock is not counted: a picker looks for it.
const BY_HAND: &str = "by-hand";

#[derive(Serialize)]
struct StockData {
    on_hand: u64,
}

/// Takes the requested units, or passes the request on to the substitute, or answers that there are none.
pub fn take(request: StockRequested, context: &mut Context) -> Result<(), Failure> {
    if is_by_hand(&request.article.sku, context) {
        context.info(format!("line {} of order {} waits for its picker", request.line, request.order));
        say_by_hand(context);
        return Ok(());
    }
    let on_hand = on_hand(&request.article.sku, context)?;
    if let Some(left) = on_hand.checked_sub(request.quantity.into()) {
        keep(left, context)?;
        answer(request, true, context);
        return Ok(());
    }
    keep(on_hand, context)?;
    // At most one substitution: the customer did not agree to the substitute of a substitute.
    let wanted = request.substitutes_ok && request.instead_of.is_none();
    match catalogue::substitute_for(&request.article.sku).filter(|_| wanted) {
        Some(substitute) => {
            let key = stock_key(&substitute.sku);
            let instead_of = Some(request.article);
            context.emit_to(key, &StockRequested { article: substitute, instead_of, ..request });
        }
        None => answer(request, false, context),
    }
    Ok(())
}

/// Units are returned.
pub fn give_back(released: &StockReleased, context: &mut Context) -> Result<(), Failure> {
    let on_hand = on_hand(&released.sku, context)?;
    keep(on_hand.saturating_add(released.quantity.into()), context)
}

/// The warehouse has counted the article, or its stock is to be shown as it is known.
pub fn count(counted: &StockCounted, context: &mut Context) -> Result<(), Failure> {
    let sku = &counted.sku;
    if stock_key(sku) != context.delivery().key {
        return Err(Failure::permanent("something was counted under another article's key"));
    }
    match counted.on_hand {
        None if is_by_hand(sku, context) => {
            say_by_hand(context);
            Ok(())
        }
        None => keep(on_hand(sku, context)?, context),
        Some(on_hand) => keep(on_hand, context),
    }
}

/// The stock; before the first delivery of the article, that of the settings.
fn on_hand(sku: &str, context: &Context) -> Result<u64, Failure> {
    if let Some(on_hand) = context.state().get(ON_HAND)? {
        return Ok(on_hand);
    }
    let Some(text) = setting(sku, context) else { return Ok(0) };
    text.parse()
        .map_err(|_| Failure::transient(format!("the setting `stock.{sku}` or `stock.default` is no number: {text:?}")))
}

fn is_by_hand(sku: &str, context: &Context) -> bool {
    setting(sku, context).as_deref() == Some(BY_HAND)
}

fn say_by_hand(context: &mut Context) {
    context.set_status(BY_HAND, "Picked by hand");
}

fn setting(sku: &str, context: &Context) -> Option<String> {
    context.config(&format!("stock.{sku}")).or_else(|| context.config("stock.default"))
}

fn keep(on_hand: u64, context: &mut Context) -> Result<(), Failure> {
    context.state().set(ON_HAND, &on_hand)?;
    let state = if on_hand == 0 { "sold-out" } else { "in-stock" };
    context.set_status(state, format!("{on_hand} on hand")).data(&StockData { on_hand });
    Ok(())
}

fn answer(request: StockRequested, reserved: bool, context: &mut Context) {
    let StockRequested { order, line, article, quantity, instead_of, substitutes_ok: _ } = request;
    context.emit_to(order_key(&order), &StockAnswered { order, line, article, quantity, instead_of, reserved });
}
