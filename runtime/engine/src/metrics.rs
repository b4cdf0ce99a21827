//! Metrics. Prometheus' conventions: base units, no label with unbounded values (never a key or a subject).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use weirgate_host::{Budget, CallError, Purpose};
use weirgate_types::{FailureKind, HandlerName, Outcome};

use crate::HandlerItem;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandlerLabels {
    handler: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    handler: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedLabels {
    /// A stable word: `no-key`, `too-many-in-flight`, ...
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PurposeLabels {
    purpose: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    /// `forward` or `back`.
    direction: &'static str,
}

/// The outcomes that deliveries and attempts are counted by.
const OUTCOMES: [&str; 12] = [
    "completed",
    "retry",
    "awaiting-correction",
    "dead-lettered",
    "withheld",
    "failed",
    "trapped",
    "timed-out",
    "circuit-open",
    "limited",
    "discarded",
    "not-tried",
];

type CpuSeconds = Counter<f64, AtomicU64>;

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub events_accepted: Counter,
    pub events_duplicate: Counter,
    pub events_refused: Family<RefusedLabels, Counter>,
    deliveries: Family<OutcomeLabels, Counter>,
    attempts: Family<OutcomeLabels, Counter>,
    attempt_cpu_seconds: Family<HandlerLabels, CpuSeconds>,
    pub sync_seconds: Histogram,
    pub pass_seconds: Histogram,
    pub disk_low: Gauge,
    pub sequence_gaps: Family<HandlerLabels, Counter>,
    pub batch_records: Histogram,
    pub log_position: Gauge,
    pub log_damaged_segments: Gauge,
    pub log_verified_bytes: Counter,
    handler_lag: Family<HandlerLabels, Gauge>,
    handler_oldest_open: Family<HandlerLabels, Gauge<f64, AtomicU64>>,
    handler_open: Family<HandlerLabels, Gauge>,
    handler_retrying: Family<HandlerLabels, Gauge>,
    handler_spilled: Family<HandlerLabels, Gauge>,
    handler_breaker_open: Family<HandlerLabels, Gauge>,
    pub connections: Gauge,
    pub connections_refused: Counter,
    budget_held: Family<PurposeLabels, Gauge>,
    budget_refused: Family<PurposeLabels, Counter>,
    clock_steps: Family<StepLabels, Counter>,
    pub live_connections: Gauge,
    pub live_messages: Counter,
    pub live_subjects: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("weirgate"),
            events_accepted: Counter::default(),
            events_duplicate: Counter::default(),
            events_refused: Family::default(),
            deliveries: Family::default(),
            attempts: Family::default(),
            attempt_cpu_seconds: Family::default(),
            sync_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            pass_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            disk_low: Gauge::default(),
            sequence_gaps: Family::default(),
            batch_records: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            log_position: Gauge::default(),
            log_damaged_segments: Gauge::default(),
            log_verified_bytes: Counter::default(),
            handler_lag: Family::default(),
            handler_oldest_open: Family::default(),
            handler_open: Family::default(),
            handler_retrying: Family::default(),
            handler_spilled: Family::default(),
            handler_breaker_open: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            budget_held: Family::default(),
            budget_refused: Family::default(),
            clock_steps: Family::default(),
            live_connections: Gauge::default(),
            live_messages: Counter::default(),
            live_subjects: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("events_accepted", "Events that became durable", self.events_accepted.clone());
        r.register("events_duplicate", "Events that had been accepted before", self.events_duplicate.clone());
        r.register("events_refused", "Events that were refused, by reason", self.events_refused.clone());
        r.register("deliveries", "Deliveries by handler and outcome of an attempt", self.deliveries.clone());
        r.register("attempts", "Calls of handlers, by result", self.attempts.clone());
        r.register("attempt_cpu_seconds", "CPU time spent in calls", self.attempt_cpu_seconds.clone());
        r.register("sequence_gaps", "Gaps in the numbers of a key that were passed", self.sequence_gaps.clone());
        r.register("log_sync_seconds", "Time to make a batch durable", self.sync_seconds.clone());
        r.register("log_batch_records", "Records made durable by one sync", self.batch_records.clone());
        let pass = "Time of one pass of the writer, without waiting for commands and for the disk";
        r.register("writer_pass_seconds", pass, self.pass_seconds.clone());
        let low = "1 while the disk is nearly full: no events are accepted, no deliveries begin";
        r.register("disk_low", low, self.disk_low.clone());
        r.register("log_position", "The last durable position", self.log_position.clone());
        let damaged = "Segments of the log that were found to be damaged when they were read again in the background";
        r.register("log_damaged_segments", damaged, self.log_damaged_segments.clone());
        let verified = "Bytes of the log that were read again in the background";
        r.register("log_verified_bytes", verified, self.log_verified_bytes.clone());
        r.register("handler_lag_events", "Events that a handler has not looked at yet", self.handler_lag.clone());
        r.register(
            "handler_oldest_open_delivery_age_seconds",
            "Time since the event of a handler's oldest open delivery was accepted; 0 if none is open",
            self.handler_oldest_open.clone(),
        );
        r.register("handler_open_deliveries", "Open deliveries", self.handler_open.clone());
        r.register(
            "handler_retrying_deliveries",
            "Deliveries that wait for their next attempt",
            self.handler_retrying.clone(),
        );
        r.register("handler_spilled_deliveries", "Spilled deliveries", self.handler_spilled.clone());
        r.register("handler_breaker_open", "1 while a handler's breaker is open", self.handler_breaker_open.clone());
        r.register("connections", "Open connections of all kinds", self.connections.clone());
        r.register("connections_refused", "Connections beyond the limit", self.connections_refused.clone());
        r.register("budget_held_bytes", "Bytes taken from the budget, by purpose", self.budget_held.clone());
        r.register("budget_refused", "Refusals by the budget", self.budget_refused.clone());
        r.register("clock_steps", "Steps of the wall clock", self.clock_steps.clone());
        r.register("live_connections", "Open live connections", self.live_connections.clone());
        r.register("live_messages", "Status messages sent to browsers", self.live_messages.clone());
        r.register("live_subjects", "Subjects with at least one watcher", self.live_subjects.clone());
    }

    /// The metrics in Prometheus' text format; updates the gauges of handlers, as [`crate::Handle::described`]
    /// returns them, and of the budget first.
    #[must_use]
    pub fn encode(&self, handlers: &[HandlerItem], now_ms: u64, budget: &Budget) -> String {
        for purpose in Purpose::ALL {
            let labels = PurposeLabels { purpose: purpose.name() };
            self.budget_held.get_or_create(&labels).set(gauge(budget.held_bytes(purpose)));
            self.budget_refused.get_or_create(&labels).inner().store(budget.refusals(purpose), Ordering::Relaxed);
        }
        for item in handlers {
            let labels = HandlerLabels { handler: item.name.to_string() };
            self.handler_lag.get_or_create(&labels).set(gauge(item.lag));
            let age = item.oldest_open_at_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
            self.handler_oldest_open.get_or_create(&labels).set(Duration::from_millis(age).as_secs_f64());
            self.handler_open.get_or_create(&labels).set(gauge(item.open));
            self.handler_retrying.get_or_create(&labels).set(gauge(item.retrying));
            self.handler_spilled.get_or_create(&labels).set(gauge(item.spilled));
            self.handler_breaker_open.get_or_create(&labels).set(i64::from(item.breaker_open_until_ms.is_some()));
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(crate) fn attempted<T>(&self, handler: &HandlerName, result: &Result<T, CallError>) {
        let outcome = match result {
            Ok(_) => "completed",
            Err(CallError::Failed(failure)) => match failure.kind {
                FailureKind::Handler => "failed",
                FailureKind::Trap => "trapped",
                FailureKind::Timeout => "timed-out",
                FailureKind::CircuitOpen => "circuit-open",
                _ => "limited",
            },
            Err(CallError::Discarded) => "discarded",
            Err(_) => "not-tried",
        };
        self.attempts.get_or_create(&OutcomeLabels { handler: handler.to_string(), outcome }).inc();
    }

    pub(crate) fn spent(&self, handler: &HandlerName, cpu: Duration) {
        let labels = HandlerLabels { handler: handler.to_string() };
        self.attempt_cpu_seconds.get_or_create(&labels).inc_by(cpu.as_secs_f64());
    }

    pub(crate) fn clock_stepped(&self, step_ms: i64) {
        let direction = if step_ms > 0 { "forward" } else { "back" };
        self.clock_steps.get_or_create(&StepLabels { direction }).inc();
    }

    /// A handler was removed.
    pub(crate) fn forget(&self, handler: &HandlerName) {
        let name = handler.to_string();
        let labels = HandlerLabels { handler: name.clone() };
        self.attempt_cpu_seconds.remove(&labels);
        self.sequence_gaps.remove(&labels);
        self.handler_oldest_open.remove(&labels);
        let gauges = [
            &self.handler_lag,
            &self.handler_open,
            &self.handler_retrying,
            &self.handler_spilled,
            &self.handler_breaker_open,
        ];
        for gauge in gauges {
            gauge.remove(&labels);
        }
        for outcome in OUTCOMES {
            let labels = OutcomeLabels { handler: name.clone(), outcome };
            self.deliveries.remove(&labels);
            self.attempts.remove(&labels);
        }
    }

    pub(crate) fn gap_passed(&self, handler: &HandlerName) {
        self.sequence_gaps.get_or_create(&HandlerLabels { handler: handler.to_string() }).inc();
    }

    pub(crate) fn settled(&self, handler: &HandlerName, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Completed => "completed",
            Outcome::Retry { .. } => "retry",
            Outcome::AwaitingCorrection { .. } => "awaiting-correction",
            Outcome::DeadLettered { .. } => "dead-lettered",
            Outcome::Withheld => "withheld",
        };
        self.deliveries.get_or_create(&OutcomeLabels { handler: handler.to_string(), outcome }).inc();
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of records is far below 2^52")]
    pub(crate) fn synced(&self, took: Duration, records: usize) {
        self.sync_seconds.observe(took.as_secs_f64());
        self.batch_records.observe(records as f64);
    }
}

fn gauge(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
