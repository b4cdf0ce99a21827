//! Figures from a server's `/metrics`, and the difference of two readings.

use std::time::Duration;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scrape {
    pub syncs: f64,
    pub sync_seconds: f64,
    /// CPU time inside the handler's calls.
    pub attempt_cpu_seconds: f64,
    /// Open deliveries, and how many of those are spilled, at present.
    pub open: f64,
    pub spilled: f64,
}

impl Scrape {
    /// Missing metrics count as zero.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self {
            syncs: sum(text, "weirgate_log_sync_seconds_count"),
            sync_seconds: sum(text, "weirgate_log_sync_seconds_sum"),
            attempt_cpu_seconds: sum(text, "weirgate_attempt_cpu_seconds_total"),
            open: sum(text, "weirgate_handler_open_deliveries"),
            spilled: sum(text, "weirgate_handler_spilled_deliveries"),
        }
    }

    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            syncs: self.syncs - before.syncs,
            sync_seconds: self.sync_seconds - before.sync_seconds,
            attempt_cpu_seconds: self.attempt_cpu_seconds - before.attempt_cpu_seconds,
            ..self
        }
    }

    /// CPU time inside the handler's calls.
    #[must_use]
    pub fn attempt_cpu(self) -> Duration {
        Duration::try_from_secs_f64(self.attempt_cpu_seconds).unwrap_or_default()
    }
}

/// The sum of the metric's values over all labels.
fn sum(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    let samples = samples.filter(|rest| rest.starts_with(' ') || rest.starts_with('{'));
    samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_added_up_and_longer_names_ignored() {
        let text = "# TYPE weirgate_log_sync_seconds histogram\nweirgate_log_sync_seconds_sum 1.5\n\
            weirgate_log_sync_seconds_count 30\nweirgate_log_sync_seconds_counted 7\n\
            weirgate_attempt_cpu_seconds_total{handler=\"a b\"} 0.25\nweirgate_attempt_cpu_seconds_total{handler=\"c\"} 0.5\n";
        let scrape = Scrape::read(text);
        assert_eq!(
            scrape,
            Scrape { syncs: 30.0, sync_seconds: 1.5, attempt_cpu_seconds: 0.75, open: 0.0, spilled: 0.0 }
        );
        assert_eq!(scrape.since(scrape).attempt_cpu(), Duration::ZERO);
    }
}
