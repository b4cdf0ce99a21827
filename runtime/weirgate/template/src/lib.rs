//! Loads parcels into lorries. An example: replace it with your own events.

use std::collections::VecDeque;

use weirgate_sdk::prelude::*;

/// An input event. The type is CloudEvents' `type` attribute.
#[derive(Serialize, Deserialize, EventType)]
#[event("parcel.arrived")]
pub struct ParcelArrived {
    pub grams: u64,
}

/// Another one.
#[derive(Serialize, Deserialize, EventType)]
#[event("lorry.unloaded")]
pub struct LorryUnloaded {}

/// The handler takes both.
#[derive(Events)]
pub enum Incoming {
    Arrived(ParcelArrived),
    Unloaded(LorryUnloaded),
}

/// An event that the handler emits.
#[derive(Debug, PartialEq, Serialize, Deserialize, EventType)]
#[event("lorry.full")]
pub struct LorryFull {
    pub grams: u64,
}

/// What the handler keeps for each lorry: state belongs to the event's key.
#[derive(Default, Serialize, Deserialize)]
pub struct Lorry {
    pub grams: u64,
    /// The weights of the parcels that did not fit.
    pub waiting: VecDeque<u64>,
}

/// The state of a key is at most 64 KiB.
const WAITING_MAX: usize = 1_000;

#[handler]
pub fn load(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let most: u64 = context.config("most").unwrap_or_else(|| "1000".into()).parse()?;
    let mut lorry: Lorry = context.state().get("lorry")?.unwrap_or_default();
    let was_full = !lorry.waiting.is_empty();
    match event.data {
        Incoming::Arrived(ParcelArrived { grams }) if grams > most => {
            return Err(Failure::correctable("no lorry carries that", format!("{grams} g is more than {most} g")));
        }
        Incoming::Arrived(_) if lorry.waiting.len() >= WAITING_MAX => {
            return Err(Failure::permanent(format!("{WAITING_MAX} parcels wait for this lorry already")));
        }
        Incoming::Arrived(ParcelArrived { grams }) => lorry.waiting.push_back(grams),
        Incoming::Unloaded(LorryUnloaded {}) => lorry.grams = 0,
    }
    // A parcel that does not fit waits in the state, not as a failed delivery: the event that makes room is behind it.
    while let Some(grams) = lorry.waiting.pop_front_if(|grams| lorry.grams.saturating_add(*grams) <= most) {
        lorry.grams += grams;
        context.info(format!("loaded {grams} g"));
    }
    let is_full = !lorry.waiting.is_empty();
    if is_full && !was_full {
        context.emit(&LorryFull { grams: lorry.grams });
    }
    let text = format!("{} of {most} g, waiting: {}", lorry.grams, lorry.waiting.len());
    context.set_status(if is_full { "full" } else { "loading" }, text);
    context.state().set("lorry", &lorry)
}
