//! A guest that counts the events of a key, in a state of several versions. The setting `state` is the version that it handles: in
//! the first, the state is a number under `count`; in later ones it is a [`Counter`] under `counter`. The setting `migration` makes
//! its migration fail (`fails`) or trap (`traps`).

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The key is what is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("counter.add")]
pub struct Add {
    pub count: u64,
}

/// Emitted for each count, where the setting `announces` says so.
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("counter.counted")]
pub struct Counted {
    pub count: u64,
}

/// The wake-up of a counter.
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("counter.due")]
pub struct Due {}

#[derive(Events)]
pub enum Incoming {
    Add(Add),
    Due(Due),
}

/// The state from version 2 on.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub count: u64,
    /// The versions that it was migrated from, in order.
    pub migrated: Vec<u32>,
}

/// # Errors
/// Correctable: nothing is added. Transient, permanent: as the setting `fails` says.
#[handler(on_correctable = at_least_as_many, on_corrected = note, migrate_state = migrate)]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let is_due = matches!(event.data, Incoming::Due(_));
    let added = match event.data {
        Incoming::Add(Add { count: 0 }) => {
            return Err(Failure::correctable("nothing is added", "`count` has to be positive"));
        }
        Incoming::Add(Add { count }) => count,
        Incoming::Due(_) => 1_000,
    };
    let counter = if context.config("state").as_deref() == Some("1") {
        let count = context.state().get("count")?.unwrap_or(0) + added;
        context.state().set("count", &count)?;
        Counter { count, migrated: Vec::new() }
    } else {
        let mut counter: Counter = context.state().get("counter")?.unwrap_or_default();
        counter.count += added;
        context.state().set("counter", &counter)?;
        counter
    };
    if context.config("handling").as_deref() == Some("fails") {
        return Err(Failure::transient("it is to fail"));
    }
    if let Some(after_ms) = context.config("timer_ms").and_then(|ms| ms.parse().ok()).filter(|_| !is_due) {
        context.start_timer("due", weirgate_sdk::Due::AfterMs(after_ms), &Due {});
    }
    if context.config("announces").is_some() {
        context.emit(&Counted { count: counter.count });
    }
    let version = context.config("version").unwrap_or_default();
    context.set_status("counted", format!("{} in version {version}", counter.count)).data(&counter);
    Ok(())
}

/// Counts the repairs of the key.
///
/// # Errors
/// The state cannot be read.
pub fn note(_: &Repair, context: &mut Context) -> Result<(), Failure> {
    let repairs: u64 = context.state().get("repairs")?.unwrap_or_default();
    context.state().set("repairs", &(repairs + 1))
}

/// Adds what has been counted so far; reads the state in the later form.
fn at_least_as_many(_: Event<Add>, context: &Context, _: &CorrectableFailure) -> Option<Add> {
    let counter: Counter = context.state().get("counter").ok()??;
    Some(Add { count: counter.count })
}

/// # Errors
/// The setting `migration` says so, or the state cannot be read.
///
/// # Panics
/// The setting `migration` says so.
pub fn migrate(from: u32, context: &Context) -> Result<(), Failure> {
    match context.config("migration").as_deref() {
        Some("fails") => return Err(Failure::permanent("no such counter")),
        Some("traps") => panic!("the migration traps"),
        _ => context.info(format!("from version {from}")),
    }
    let state = context.state();
    let mut counter = match from {
        1 => Counter { count: state.get("count")?.unwrap_or_default(), migrated: Vec::new() },
        _ => state.get("counter")?.unwrap_or_default(),
    };
    state.delete("count");
    counter.migrated.push(from);
    state.set("counter", &counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::Delivery;

    #[test]
    fn the_count_is_migrated() {
        let run = Delivery::of(&Add { count: 2 }).state("count", &40).migrating(1, migrate).run(handle);
        assert_eq!(run.completed().state::<Counter>("counter"), Some(Counter { count: 42, migrated: vec![1] }));
        assert_eq!(run.state::<u64>("count"), None);
    }
}
