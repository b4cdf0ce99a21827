//! All attacks, by name.

mod connections;
mod guests;
mod queries;
mod requests;

use std::pin::Pin;

use tokio::{runtime::Builder, task::JoinHandle};

use crate::Field;

pub struct Attack {
    pub name: &'static str,
    run: fn(Field) -> Pin<Box<dyn Future<Output = ()>>>,
}

impl Attack {
    /// Runs it to its end, on its own thread: attacks take no time from the load and the probe.
    pub fn start(&self, field: Field) -> JoinHandle<()> {
        let run = self.run;
        tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(field));
        })
    }
}

macro_rules! attacks {
    ($($module:ident::$name:ident),* $(,)?) => {
        pub const ATTACKS: &[Attack] =
            &[$(Attack { name: stringify!($name), run: |field| Box::pin(async move { $module::$name(&field).await }) }),*];
    };
}

attacks! {
    // Guests, and their events.
    guests::self_emission, guests::large_batches, guests::log_lines, guests::corrections, guests::endless_calls,
    // Held connections.
    connections::bodies_without_an_end, connections::heads_without_an_end, connections::idle_connections,
    connections::wide_sockets, connections::slow_readers,
    // Requests that are large, deep or numerous.
    requests::empty_batches, requests::deep_json, requests::uploads, requests::wide_manifests,
    // Queries without results.
    queries::filters, queries::subscriptions,
}
