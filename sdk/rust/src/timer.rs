//! Timers as a handler starts them: the due time and the event. Knows nothing of how time passes.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{
    EventType, Failure,
    backend::{Backend, RawTimer},
};

/// When a timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At this Unix time in milliseconds; at once if it is past.
    AtMs(u64),
    /// This many milliseconds after the attempt's time.
    AfterMs(u64),
}

impl Due {
    /// At this time.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self::AtMs(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, milliseconds))
    }

    /// This long after the attempt's time.
    #[must_use]
    pub fn after(wait: Duration) -> Self {
        Self::AfterMs(milliseconds(wait))
    }
}

/// A part of a millisecond is rounded up, so that no timer is early.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A timer that is started or cancelled if the handler succeeds.
#[derive(Debug)]
pub(crate) struct TimerCall {
    name: String,
    /// `None` cancels.
    start: Option<Result<RawTimer, String>>,
}

impl TimerCall {
    pub fn start<E: EventType + Serialize>(name: String, due: Due, data: &E) -> Self {
        let data = serde_json::to_vec(data).map_err(|error| format!("the data of {} is no JSON: {error}", E::TYPE));
        let timer = |data| RawTimer { due, r#type: E::TYPE.to_owned(), data_content_type: None, data };
        Self { name, start: Some(data.map(timer)) }
    }

    pub fn cancel(name: String) -> Self {
        Self { name, start: None }
    }

    pub fn make(self, backend: &dyn Backend) -> Result<(), Failure> {
        match self.start {
            Some(timer) => backend.start_timer(&self.name, timer.map_err(Failure::permanent)?),
            None => backend.cancel_timer(&self.name),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_never_rounded_down() {
        assert_eq!(Due::after(Duration::from_millis(1_500)), Due::AfterMs(1_500));
        assert_eq!(Due::after(Duration::from_nanos(1)), Due::AfterMs(1));
        assert_eq!(Due::after(Duration::MAX), Due::AfterMs(u64::MAX));
        assert_eq!(Due::at(SystemTime::UNIX_EPOCH + Duration::from_micros(2_001)), Due::AtMs(3));
        assert_eq!(Due::at(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), Due::AtMs(0));
    }
}
