//! A handler whose event's type selects its behaviour: `hostile.<behaviour>`. The behaviours are listed in `table.rs`. For
//! tests only.
#![cfg(target_family = "wasm")]
// Misbehaviour is a test guest's purpose; the generated bindings need `unsafe`.
#![allow(unsafe_code)]
#![allow(clippy::pedantic, clippy::same_length_and_capacity)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "correcting-handler" });

mod contract;
mod correct;
mod limits;
mod outbound;
mod surroundings;
mod table;
mod well_behaved;

use contract::*;
use correct::*;
use limits::*;
use outbound::*;
use surroundings::*;
use well_behaved::*;

/// The result of a behaviour.
type Outcome = Result<(), Failure>;

/// The input of a behaviour.
struct Given {
    event: Event,
    delivery: Delivery,
}

struct Hostile;

impl Guest for Hostile {
    fn handle(event: Event, delivery: Delivery) -> Outcome {
        let behaviour = event.type_.strip_prefix("hostile.").unwrap_or_default().to_owned();
        behave(&behaviour, &Given { event, delivery })
    }

    fn on_correctable(event: Event, delivery: Delivery, failure: CorrectableFailure) -> Option<Correction> {
        let behaviour = event.type_.strip_prefix("hostile.").unwrap_or_default().to_owned();
        correct(&behaviour, &Given { event, delivery }, &failure)
    }
}

export!(Hostile);

macro_rules! dispatch {
    ($($name:ident),* $(,)?) => {
        fn behave(behaviour: &str, given: &Given) -> Outcome {
            match behaviour {
                $(stringify!($name) => $name(given),)*
                other => Err(Failure::Permanent(format!("no such behaviour: {other}"))),
            }
        }
    };
}
for_each_hostile!(dispatch);
