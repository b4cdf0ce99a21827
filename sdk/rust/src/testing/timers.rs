//! Timers in tests: which ones a call started and cancelled, and the delivery of a timer's event.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{Delivery, Run, typed::typed};
use crate::{Due, EventType, backend::RawTimer};

/// A timer that a completed call started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    pub name: String,
    /// The key that it is scoped to, besides the handler.
    pub key: String,
    pub due: Due,
    pub r#type: String,
    pub data_content_type: Option<String>,
    pub data: Vec<u8>,
}

impl Timer {
    /// The data of the timer's event.
    ///
    /// # Panics
    /// The event is of another type, or its data is not an `E`.
    #[track_caller]
    #[must_use]
    pub fn event<E: EventType + DeserializeOwned>(&self) -> E {
        assert_eq!(self.r#type, E::TYPE, "the event of timer {} is of another type", self.name);
        typed(&self.data, E::TYPE)
    }
}

/// The started and cancelled timers of one key, by name; `None` is cancelled.
pub(super) type Timers = BTreeMap<String, Option<Timer>>;

/// A call's changes of the timers of `key`.
pub(super) fn written(raw: BTreeMap<String, Option<RawTimer>>, key: &str) -> Timers {
    let timer = |name: &str, raw: RawTimer| {
        let RawTimer { due, r#type, data_content_type, data } = raw;
        Timer { name: name.to_owned(), key: key.to_owned(), due, r#type, data_content_type, data }
    };
    raw.into_iter().map(|(name, raw)| (name.clone(), raw.map(|raw| timer(&name, raw)))).collect()
}

#[allow(clippy::must_use_candidate, reason = "asking is checking: the answer need not be used")]
impl Run {
    /// The timer with that name, as the call started it.
    ///
    /// # Panics
    /// The call did not start it or cancelled it, or did not complete.
    #[track_caller]
    pub fn timer(&self, name: &str) -> &Timer {
        let timer = self.completed().timer_writes().get(name).and_then(Option::as_ref);
        timer.unwrap_or_else(|| panic!("no timer {name} was started{}", self.story()))
    }

    /// All timers that the call started, by name.
    ///
    /// # Panics
    /// The call did not complete.
    #[track_caller]
    pub fn timers(&self) -> Vec<&Timer> {
        self.completed().timer_writes().values().flatten().collect()
    }

    /// The names of all timers that the call cancelled, whether they existed or not.
    ///
    /// # Panics
    /// The call did not complete.
    #[track_caller]
    pub fn cancelled_timers(&self) -> Vec<&str> {
        let cancelled = self.completed().timer_writes().iter().filter(|(_, timer)| timer.is_none());
        cancelled.map(|(name, _)| name.as_str()).collect()
    }
}

impl Delivery {
    /// The delivery of a due timer's event to the handler that started it.
    #[must_use]
    pub fn of_timer(timer: &Timer) -> Self {
        let mut delivery = Self::raw(timer.r#type.clone(), timer.data.clone()).key(&timer.key);
        delivery.event.data_content_type.clone_from(&timer.data_content_type);
        delivery.is_timer = true;
        delivery
    }
}
