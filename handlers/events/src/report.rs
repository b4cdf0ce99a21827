//! The events of `report`: single orders for itself, and a whole day for others.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

/// The key and the subject of the count.
pub const REPORT_KEY: &str = "report/orders";

/// Numbers of orders by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCount {
    pub paid: u64,
    pub paid_cents: u64,
    pub cancelled: u64,
}

/// One more order: from the handler to itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("report.counted")]
pub struct ReportCounted {
    pub order: String,
    #[serde(flatten)]
    pub count: OrderCount,
}

/// From the schedule `minutely`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("report.minute-passed")]
pub struct ReportMinutePassed {}

/// From the schedule `nightly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("report.day-passed")]
pub struct ReportDayPassed {}

/// The figures of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("report.day-closed")]
pub struct ReportDayClosed {
    #[serde(flatten)]
    pub count: OrderCount,
}
