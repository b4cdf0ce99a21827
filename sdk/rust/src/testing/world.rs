//! Several deliveries to one handler, each seeing what the completed ones before it have left.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{Delivery, Run, Status, run::typed};
use crate::{Context, Event, EventData, Failure};

/// The state of one handler over all keys, its settings, the statuses it has set, and the next position.
#[derive(Debug, Default, Clone)]
pub struct World {
    state: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    statuses: BTreeMap<String, Status>,
    config: BTreeMap<String, String>,
    handler: Option<String>,
    position: u64,
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of the manifest, for all deliveries from here on.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configure(name, value);
        self
    }

    /// Change a setting between deliveries.
    pub fn configure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.config.insert(name.into(), value.into());
    }

    /// The handler's name as deployed.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>) -> Self {
        self.handler = Some(name.into());
        self
    }

    /// Deliver. The effects stay in the world if the call completes.
    pub fn run<T: EventData>(
        &mut self,
        mut delivery: Delivery,
        handler: impl FnOnce(Event<T>, &mut Context) -> Result<(), Failure>,
    ) -> Run {
        let key = delivery.effective_key();
        self.position += 1;
        delivery.position.get_or_insert(self.position);
        if let Some(name) = &self.handler {
            delivery = delivery.handler(name);
        }
        let mut state = self.state.get(&key).cloned().unwrap_or_default();
        state.append(&mut delivery.state);
        delivery.state = state;
        let mut config = self.config.clone();
        config.append(&mut delivery.config);
        delivery.config = config;
        let run = delivery.run(handler);
        if run.is_completed() {
            self.state.insert(key, run.all_state().clone());
            let statuses = run.statuses().iter().map(|status| (status.subject.clone(), status.clone()));
            self.statuses.extend(statuses);
        }
        run
    }

    /// The value of `name` for a key.
    ///
    /// # Panics
    /// The value is not a `T`.
    #[track_caller]
    #[must_use]
    pub fn state<T: DeserializeOwned>(&self, key: &str, name: &str) -> Option<T> {
        self.state.get(key)?.get(name).map(|bytes| typed(bytes, name))
    }

    /// The handler's part of the status of a subject.
    #[must_use]
    pub fn status(&self, subject: &str) -> Option<&Status> {
        self.statuses.get(subject)
    }
}
