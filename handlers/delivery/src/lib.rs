//! The delivery handler: takes a parcel from packed over dispatched to delivered. Each step is an event, which also starts
//! the next one.

use order_events::{
    DeliveryDelivered, DeliveryDispatched, DeliveryDue, DeliveryPacked, DeliveryStep, InvoiceCreated, PACE_TIMER, pace,
};
use serde::Serialize;
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Invoiced(InvoiceCreated),
    Packed(DeliveryPacked),
    Dispatched(DeliveryDispatched),
    /// From its own timer.
    Due(DeliveryDue),
}

/// The step that the parcel has made; absent before it was packed.
const STEP: &str = "step";

#[derive(Serialize)]
struct ParcelData<'a> {
    parcel: &'a str,
}

/// # Errors
/// Transient: the setting `pace_ms` is not a number.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Invoiced(InvoiceCreated { order, .. }) => {
            let parcel = format!("WG-{:06}", context.delivery().position);
            begin(DeliveryDue { order, parcel, step: DeliveryStep::Packed }, context)
        }
        Incoming::Packed(DeliveryPacked { order, parcel }) => {
            begin(DeliveryDue { order, parcel, step: DeliveryStep::Dispatched }, context)
        }
        Incoming::Dispatched(DeliveryDispatched { order, parcel }) => {
            begin(DeliveryDue { order, parcel, step: DeliveryStep::Delivered }, context)
        }
        Incoming::Due(due) => make(due, context),
    }
}

/// The step is made when its work is done.
fn begin(due: DeliveryDue, context: &mut Context) -> Result<(), Failure> {
    match pace(context)? {
        Some(done) if follows(due.step, context)? => {
            context.start_timer(PACE_TIMER, done, &due);
            Ok(())
        }
        _ => make(due, context),
    }
}

/// Goes from one step to the next; from any other step nothing happens.
fn make(DeliveryDue { order, parcel, step }: DeliveryDue, context: &mut Context) -> Result<(), Failure> {
    if !follows(step, context)? {
        context.warn(format!("no step to {step:?}: the parcel is not at the one before"));
        return Ok(());
    }
    context.state().set(STEP, &step)?;
    let (state, text) = match step {
        DeliveryStep::Packed => ("packed", format!("Parcel {parcel} is packed")),
        DeliveryStep::Dispatched => ("dispatched", format!("Parcel {parcel} is on its way")),
        DeliveryStep::Delivered => ("delivered", format!("Parcel {parcel} is delivered")),
    };
    context.set_status(state, text).data(&ParcelData { parcel: &parcel });
    match step {
        DeliveryStep::Packed => context.emit(&DeliveryPacked { order, parcel }),
        DeliveryStep::Dispatched => context.emit(&DeliveryDispatched { order, parcel }),
        DeliveryStep::Delivered => context.emit(&DeliveryDelivered { order, parcel }),
    };
    Ok(())
}

/// Whether the step is the parcel's next.
fn follows(step: DeliveryStep, context: &Context) -> Result<bool, Failure> {
    let before = match step {
        DeliveryStep::Packed => None,
        DeliveryStep::Dispatched => Some(DeliveryStep::Packed),
        DeliveryStep::Delivered => Some(DeliveryStep::Dispatched),
    };
    Ok(context.state().get::<DeliveryStep>(STEP)? == before)
}
