//! Several deliveries to one handler, each seeing the effects of the earlier completed ones, and in the order that the runtime
//! keeps: none of a key while an earlier one of that key is open.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{
    Delivery, Run, Status, Timer,
    lanes::{Lanes, Tried},
    timers::Timers,
    typed::typed,
};
use crate::{Context, Event, EventData, Failure};

/// The state of one handler over all keys, its settings, the statuses and timers it has set, and the next position.
#[derive(Debug, Default, Clone)]
pub struct World {
    state: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    statuses: BTreeMap<String, Status>,
    /// By key; cancelled ones stay as `None`.
    timers: BTreeMap<String, Timers>,
    config: BTreeMap<String, String>,
    handler: Option<String>,
    position: u64,
    lanes: Lanes,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of the manifest, for all later deliveries.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configure(name, value);
        self
    }

    /// Changes a setting between deliveries.
    pub fn configure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.config.insert(name.into(), value.into());
    }

    /// The handler's deployed name.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>) -> Self {
        self.handler = Some(name.into());
        self
    }

    /// For a handler whose manifest says `ordering = "none"`: deliveries of a key do not wait for each other.
    #[must_use]
    pub fn unordered(mut self) -> Self {
        self.lanes.are_off = true;
        self
    }

    /// Delivers. The effects stay in the world if the call completes.
    ///
    /// A delivery that failed as transient or correctable, or was ended by a limit, stays open: what is delivered next for its
    /// key is the same event again (for a correctable one, with other data). To go on as after its last retry, use
    /// [`World::dead_letter`].
    ///
    /// # Panics
    /// An earlier delivery of the key is open, so the runtime would not deliver this one.
    #[track_caller]
    pub fn run<T: EventData>(
        &mut self,
        delivery: Delivery,
        handler: impl FnOnce(Event<T>, &mut Context) -> Result<(), Failure>,
    ) -> Run {
        self.deliver(delivery, |delivery| delivery.run(handler))
    }

    /// Delivers with `call`, in the key's order and with the world's state.
    #[track_caller]
    pub(super) fn deliver(&mut self, delivery: Delivery, call: impl FnOnce(Delivery) -> Run) -> Run {
        let tried = Tried::of(&delivery);
        self.lanes.check(&tried);
        let run = call(self.take(delivery));
        self.keep(tried, &run);
        run
    }

    /// The open delivery of this key becomes a dead letter, as after its last retry: the key's next event is delivered.
    ///
    /// # Panics
    /// No delivery of the key is open.
    #[track_caller]
    pub fn dead_letter(&mut self, key: &str) {
        assert!(self.lanes.close(key), "no delivery of {key} is open");
    }

    /// The delivery at the next position, with the world's state and settings.
    pub(super) fn take(&mut self, mut delivery: Delivery) -> Delivery {
        self.position += 1;
        delivery.position.get_or_insert(self.position);
        self.surround(delivery)
    }

    /// Checks that the runtime would deliver these in one call: at most the first of a key is an open one.
    #[track_caller]
    pub(super) fn check_batch(&self, batch: &[Tried]) {
        for (index, tried) in batch.iter().enumerate() {
            if batch.iter().take(index).all(|before| before.key != tried.key) {
                self.lanes.check(tried);
            }
        }
    }

    /// Keeps the effects of a completed run, or the delivery as an open one.
    pub(super) fn keep(&mut self, tried: Tried, run: &Run) {
        self.lanes.ended(tried, run);
        if !run.is_completed() {
            return;
        }
        self.state.insert(run.key().to_owned(), run.all_state().clone());
        self.timers.entry(run.key().to_owned()).or_default().extend(run.timer_writes().clone());
        let statuses = run.statuses().iter().map(|status| (status.subject.clone(), status.clone()));
        self.statuses.extend(statuses);
    }

    /// The delivery with the world's state and settings, unless it has its own.
    pub(super) fn surround(&self, mut delivery: Delivery) -> Delivery {
        if let Some(name) = &self.handler {
            delivery = delivery.handler(name);
        }
        let mut state = self.state.get(&delivery.effective_key()).cloned().unwrap_or_default();
        state.append(&mut delivery.state);
        delivery.state = state;
        let mut config = self.config.clone();
        config.append(&mut delivery.config);
        delivery.config = config;
        delivery
    }

    /// Fires a running timer: its event is delivered, and the timer is gone, unless the handler starts it again.
    ///
    /// # Panics
    /// There is no such timer.
    #[track_caller]
    pub fn fire<T: EventData>(
        &mut self,
        key: &str,
        name: &str,
        handler: impl FnOnce(Event<T>, &mut Context) -> Result<(), Failure>,
    ) -> Run {
        let timer = self.timers.get_mut(key).and_then(|timers| timers.remove(name)).flatten();
        let timer = timer.unwrap_or_else(|| panic!("no timer {name} of {key} is running"));
        self.run(Delivery::of_timer(&timer), handler)
    }

    /// The timer with that name, if it is running.
    #[must_use]
    pub fn timer(&self, key: &str, name: &str) -> Option<&Timer> {
        self.timers.get(key)?.get(name)?.as_ref()
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
