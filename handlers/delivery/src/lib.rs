//! The delivery handler: takes a parcel from packed over dispatched to delivered. Each step is an event, which also starts
//! the next one.

use order_events::{DeliveryDelivered, DeliveryDispatched, DeliveryPacked, InvoiceCreated};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Invoiced(InvoiceCreated),
    Packed(DeliveryPacked),
    Dispatched(DeliveryDispatched),
}

/// The state of the parcel; absent before it was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Packed,
    Dispatched,
    Delivered,
}

const STEP: &str = "step";

#[derive(Serialize)]
struct ParcelData<'a> {
    parcel: &'a str,
}

/// # Errors
/// None.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Invoiced(InvoiceCreated { order, .. }) => {
            let parcel = format!("WG-{:06}", context.delivery().position);
            if step(None, Step::Packed, &parcel, context)? {
                context.emit(&DeliveryPacked { order, parcel });
            }
        }
        Incoming::Packed(DeliveryPacked { order, parcel }) => {
            if step(Some(Step::Packed), Step::Dispatched, &parcel, context)? {
                context.emit(&DeliveryDispatched { order, parcel });
            }
        }
        Incoming::Dispatched(DeliveryDispatched { order, parcel }) => {
            if step(Some(Step::Dispatched), Step::Delivered, &parcel, context)? {
                context.emit(&DeliveryDelivered { order, parcel });
            }
        }
    }
    Ok(())
}

/// Goes from one step to the next; from any other step nothing happens.
fn step(from: Option<Step>, to: Step, parcel: &str, context: &mut Context) -> Result<bool, Failure> {
    let at = context.state().get::<Step>(STEP)?;
    if at != from {
        context.warn(format!("no step to {to:?}: the parcel is at {at:?}"));
        return Ok(false);
    }
    context.state().set(STEP, &to)?;
    let (state, text) = match to {
        Step::Packed => ("packed", format!("Parcel {parcel} is packed")),
        Step::Dispatched => ("dispatched", format!("Parcel {parcel} is on its way")),
        Step::Delivered => ("delivered", format!("Parcel {parcel} is delivered")),
    };
    context.set_status(state, text).data(&ParcelData { parcel });
    Ok(true)
}
