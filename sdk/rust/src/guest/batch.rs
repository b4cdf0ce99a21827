//! The component's side of batches: each item's imports are selected before they are called.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    Imports,
    bindings::{
        self,
        batching::{BatchItem, weirgate::handler::batch},
    },
};
use crate::{
    Context, Event, EventData, Failure,
    batch::{self as items, Item, Results},
};

/// Calls the handler once with all items; called by the exported `handle-batch`.
pub fn call_all<T: EventData>(
    given: Vec<BatchItem>,
    handler: fn(&mut [Item<T>]) -> Result<(), Failure>,
) -> Vec<Result<(), bindings::Failure>> {
    answer(items::handle_all(given.into_iter().zip(0..).map(opened), handler))
}

/// Calls the handler for one item after another. If one fails, the later ones of its key would see its writes, so they are
/// left out.
pub fn call_each<T: EventData>(
    given: Vec<BatchItem>,
    handler: fn(Event<T>, &mut Context) -> Result<(), Failure>,
) -> Vec<Result<(), bindings::Failure>> {
    let mut failed = BTreeSet::new();
    let run = |(item, index): (BatchItem, u32)| {
        let key = item.delivery.key.clone();
        if failed.contains(&key) {
            return Err(Failure::transient("an earlier delivery of its key failed in the same call"));
        }
        // Output that the handler prints before it calls anything belongs to its item too.
        select(index);
        let (event, mut context) = opened((item, index));
        let outcome = event.read().and_then(|event| handler(event, &mut context)).and_then(|()| context.finish());
        outcome.inspect_err(|_| {
            failed.insert(key);
        })
    };
    answer(given.into_iter().zip(0..).map(run).collect())
}

fn opened((item, index): (BatchItem, u32)) -> (Event<Vec<u8>>, Context) {
    (item.event.into(), Context::new(Box::new(Imports { index, select }), item.delivery.into()))
}

fn answer(results: Results) -> Vec<Result<(), bindings::Failure>> {
    results.into_iter().map(|result| result.map_err(Into::into)).collect()
}

fn select(index: u32) {
    static SELECTED: AtomicU32 = AtomicU32::new(0);
    if SELECTED.swap(index, Ordering::Relaxed) != index {
        batch::select(index);
    }
}
