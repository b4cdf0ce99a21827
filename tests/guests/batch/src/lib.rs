//! A batch handler whose first event's type selects its behaviour: `batch.<behaviour>`. The behaviours are listed in
//! `table.rs`. For tests only.
#![cfg(target_family = "wasm")]
// Misbehaviour is a test guest's purpose; the generated bindings need `unsafe`.
#![allow(unsafe_code)]
#![allow(clippy::pedantic, clippy::same_length_and_capacity)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "batch-handler" });

mod behaviours;
mod table;

use behaviours::*;
use weirgate::handler::types::{CorrectableFailure, TransientFailure};

/// The result of a behaviour: one per item.
type Outcomes = Vec<Result<(), Failure>>;

struct HostileBatch;

impl Guest for HostileBatch {
    fn handle_batch(items: Vec<BatchItem>) -> Outcomes {
        let behaviour = items[0].event.type_.strip_prefix("batch.").unwrap_or_default().to_owned();
        behave(&behaviour, &items)
    }
}

export!(HostileBatch);

macro_rules! dispatch {
    ($($name:ident),* $(,)?) => {
        fn behave(behaviour: &str, items: &[BatchItem]) -> Outcomes {
            match behaviour {
                $(stringify!($name) => $name(items),)*
                other => panic!("no such behaviour: {other}"),
            }
        }
    };
}
for_each_hostile_batch!(dispatch);

fn transient(message: &str) -> Failure {
    Failure::Transient(TransientFailure { message: message.into(), retry_after_ms: None })
}

fn correctable(message: &str) -> Failure {
    Failure::Correctable(CorrectableFailure { message: message.into(), what_is_wrong: "all of it".into() })
}
