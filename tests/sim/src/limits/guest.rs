//! Guests that use up their limits: effects as large and as many as the manifest allows, log lines, messages of failures.

use weirgate_engine::sim::Attempted;
use weirgate_types::{
    AttemptFailure, CallLimits, Correction, DeliveryId, Effects, Event, ExtensionValue, FailureClass, FailureKind,
    LogLevel, LogLine, StateWrite, StatusWrite, TimerSetting, TimerWrite,
};

use super::{World, plan::Style};

/// What one host call can write at most, as in `docs/limits.md`.
const STATE_VALUE_BYTES: u64 = 64 << 10;
const STATUS_DATA_BYTES: u64 = 16 << 10;
const EVENT_DATA_BYTES: u64 = 256 << 10;
const MESSAGE_BYTES: usize = 4 << 10;
const TIMERS: u64 = 64;
/// The limits of all deliveries of one call together.
const CALL_EFFECTS_BYTES: u64 = 10 << 20;
const CALL_LOG_BYTES: u64 = 1 << 20;
/// What the runtime adds to each emitted event, besides the copied parts.
const ADDED_BYTES: u64 = 256;

/// The remaining limits of a call's deliveries together.
pub struct Together {
    effects_bytes: u64,
    log_bytes: u64,
}

impl Default for Together {
    fn default() -> Self {
        Self { effects_bytes: CALL_EFFECTS_BYTES, log_bytes: CALL_LOG_BYTES }
    }
}

/// The remaining limits of a delivery.
struct Left {
    bytes: u64,
    calls: u64,
    /// The remaining limits of all deliveries of the call.
    together: u64,
}

impl Left {
    /// Whether a host call may write this much.
    fn take(&mut self, bytes: u64) -> bool {
        self.take_with(bytes, 0)
    }

    /// The same for effects that the runtime adds to.
    fn take_with(&mut self, bytes: u64, added: u64) -> bool {
        let may = self.calls > 0 && bytes <= self.bytes && bytes + added <= self.together;
        if may {
            (self.bytes, self.calls) = (self.bytes - bytes, self.calls - 1);
            self.together -= bytes + added;
        }
        may
    }
}

/// JSON with a string of about this many bytes.
pub fn document(name: &str, bytes: u64) -> String {
    format!("{{\"{name}\":\"{}\"}}", "x".repeat(usize::try_from(bytes).unwrap_or(0).saturating_sub(name.len() + 9)))
}

impl World<'_> {
    /// An attempt ends.
    pub(super) fn attempted(
        &mut self,
        delivery: &DeliveryId,
        event: &Event,
        limits: &CallLimits,
        together: &mut Together,
    ) -> Attempted {
        let log = self.log_lines(limits, together);
        if self.chance.one_in(self.plan.habits.failure) {
            let failure = self.failure();
            let corrects = failure.class == FailureClass::Correctable && self.chance.one_in(8);
            let correction = corrects.then(|| self.hook_correction(limits)).flatten();
            return Attempted { result: Err(failure), correction, log };
        }
        let bytes = self.afford(limits.effects_bytes);
        let mut left = Left { bytes, calls: u64::from(limits.host_calls), together: together.effects_bytes };
        let effects = self.effects(delivery, event, limits, &mut left);
        together.effects_bytes = left.together;
        self.bytes_left += left.bytes;
        Attempted { result: Ok(effects), correction: None, log }
    }

    fn failure(&mut self) -> AttemptFailure {
        let class = match self.chance.below(8) {
            0..=4 => FailureClass::Correctable,
            5 => FailureClass::Permanent,
            _ => FailureClass::Transient,
        };
        let text = |is_long: bool| if is_long { "\"".repeat(MESSAGE_BYTES) } else { "wrong".to_owned() };
        AttemptFailure {
            class,
            message: text(self.chance.one_in(4)),
            what_is_wrong: (class == FailureClass::Correctable).then(|| text(self.chance.one_in(4))),
            retry_after_ms: (class == FailureClass::Transient && self.chance.one_in(2)).then_some(86_400_000),
            kind: FailureKind::Handler,
        }
    }

    fn hook_correction(&mut self, limits: &CallLimits) -> Option<Correction> {
        let bytes = self.afford(EVENT_DATA_BYTES.min(limits.effects_bytes));
        let data = document("hook", bytes).into_bytes();
        (bytes > 20).then_some(Correction { data, data_content_type: None, event: None })
    }

    /// As many lines as allowed, as long as allowed.
    fn log_lines(&mut self, limits: &CallLimits, together: &mut Together) -> Vec<LogLine> {
        let bytes = u64::from(limits.log_line_bytes);
        let lines = if self.chance.one_in(3) { u64::from(limits.log_lines) } else { self.chance.below(3) };
        let lines = lines.min(u64::from(limits.log_lines)).min(together.log_bytes / bytes.max(1));
        let lines = lines.min(self.afford(lines * bytes) / bytes.max(1));
        together.log_bytes -= lines * bytes;
        let message = "\u{fffd}".repeat(usize::try_from(bytes / 3).unwrap_or(0));
        (0..lines).map(|_| LogLine { level: LogLevel::Info, message: message.clone() }).collect()
    }

    fn effects(&mut self, delivery: &DeliveryId, event: &Event, limits: &CallLimits, left: &mut Left) -> Effects {
        let mut effects = Effects::default();
        let style = match self.plan.habits.style {
            Style::Mixed => {
                let styles = [Style::Values, Style::Statuses, Style::Emissions, Style::Timers];
                self.chance.pick(&styles).copied().unwrap_or(Style::Values)
            }
            style => style,
        };
        match style {
            Style::Values | Style::Mixed => self.values(&mut effects, left),
            Style::ManyWrites => self.many_writes(&mut effects, event, left),
            Style::Statuses => self.statuses(&mut effects, left),
            Style::Emissions => self.emissions(&mut effects, delivery, event, limits, left),
            Style::Timers => self.timers(&mut effects, left),
        }
        effects
    }

    fn values(&mut self, effects: &mut Effects, left: &mut Left) {
        for n in 0..self.chance.between(1, 64) {
            let (name, bytes) = (format!("{n:0256}"), STATE_VALUE_BYTES.min(left.bytes.saturating_sub(256)));
            if !left.take(bytes + 256) {
                return;
            }
            effects.state.push(StateWrite { name, value: Some(vec![7; usize::try_from(bytes).unwrap_or(0)]) });
        }
    }

    /// More writes than two bytes can count, then one whose value does not fit into a row.
    fn many_writes(&mut self, effects: &mut Effects, event: &Event, left: &mut Left) {
        const LAST_BYTES: u64 = 4_000;
        let most = if self.chance.one_in(6) { 40_000 } else { 300 };
        let is_status = self.chance.one_in(3);
        for n in 0..most {
            if left.bytes < LAST_BYTES + 40 || left.calls < 2 || self.afford(20) < 20 || !left.take(12) {
                break;
            }
            let name = format!("{n:05x}");
            match is_status {
                true => effects.status.push(status(name, None)),
                false => effects.state.push(StateWrite { name, value: Some(Vec::new()) }),
            }
        }
        if left.take(LAST_BYTES + 20) {
            effects.status.push(status(event.key().to_owned(), Some(document("last", LAST_BYTES - 100))));
            let value = Some(vec![9; usize::try_from(LAST_BYTES - 100).unwrap_or(0)]);
            effects.state.extend(left.take(LAST_BYTES).then(|| StateWrite { name: "zzzzz".to_owned(), value }));
        }
    }

    fn statuses(&mut self, effects: &mut Effects, left: &mut Left) {
        for n in 0..self.chance.between(1, 60) {
            let data_bytes = if self.chance.one_in(2) { STATUS_DATA_BYTES } else { 30 };
            let (subject, text) = (format!("{n:01000}"), "\"".repeat(1_024));
            if !left.take(data_bytes + 2_100) {
                return;
            }
            let data = Some(document("data", data_bytes));
            effects.status.push(StatusWrite { text, state: "s".repeat(64), ..status(subject, data) });
        }
    }

    /// Events that the handler takes itself.
    fn emissions(
        &mut self,
        effects: &mut Effects,
        delivery: &DeliveryId,
        event: &Event,
        limits: &CallLimits,
        left: &mut Left,
    ) {
        let most = u64::from(limits.emitted_events);
        let most = if self.chance.one_in(3) { most } else { most.min(2) };
        let bytes = (left.bytes / most.max(1)).saturating_sub(1_100).min(EVENT_DATA_BYTES);
        for n in 1..=most {
            let key = self.some_key();
            let copied = ["correlationid", "traceparent"].iter().filter_map(|name| event.extensions.get(*name));
            let copied = copied.map(ExtensionValue::len).chain(event.subject.as_ref().map(String::len));
            let copied = copied.sum::<usize>() + 2 * event.id.len();
            let added = ADDED_BYTES + copied as u64;
            if self.afford(added) < added || !left.take_with(bytes + key.len() as u64 + 9, added) {
                return;
            }
            let mut emitted = super::people::event(&format!("{}/{n}", delivery.position), &key, "loop.next");
            emitted.source = format!("/handlers/{}", delivery.handler);
            emitted.data = document("n", bytes).into_bytes();
            let correlation = event.extensions.get("correlationid").cloned();
            emitted.extensions.insert("causationid".to_owned(), event.id.clone().into());
            emitted
                .extensions
                .insert("correlationid".to_owned(), correlation.unwrap_or_else(|| event.id.clone().into()));
            emitted
                .extensions
                .extend(event.extensions.get_key_value("traceparent").map(|(k, v)| (k.clone(), v.clone())));
            effects.emitted.push(emitted);
        }
    }

    fn timers(&mut self, effects: &mut Effects, left: &mut Left) {
        let now_ms = self.ground.clock().wall_ms();
        let bytes = (left.bytes / TIMERS).saturating_sub(300).min(EVENT_DATA_BYTES);
        for n in 0..TIMERS {
            let name = format!("{n:0256}");
            if !left.take(bytes + 270) {
                return;
            }
            let due_ms = now_ms + self.chance.below(100_000);
            let data = document("timer", bytes).into_bytes();
            let set = TimerSetting { due_ms, r#type: "timer.due".to_owned(), data_content_type: None, data };
            effects.timers.push(TimerWrite { name, set: (!self.chance.one_in(9)).then_some(set) });
        }
    }
}

fn status(subject: String, data: Option<String>) -> StatusWrite {
    StatusWrite { subject, state: "s".to_owned(), text: String::new(), data }
}
