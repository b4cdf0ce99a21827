//! The result of a run: as a line of text, as a line of JSON, and as the median of several.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{disk::Calibration, figures};

/// One run of one load, or the medians of several.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub system: String,
    pub load: String,
    /// 1, 2, ... or `median`.
    pub run: String,
    pub events: usize,
    pub events_per_s: f64,
    /// From submission (open loop: from its scheduled time) to the pushed status.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: Option<f64>,
    pub max_ms: f64,
    pub server_cpu_us_per_event: f64,
    /// Part of it: inside the handler's calls.
    pub handler_cpu_us_per_event: Option<f64>,
    /// The driver's; for a peer whose handlers run in it, theirs too.
    pub own_cpu_us_per_event: f64,
    pub rss_peak_mib: f64,
    pub syncs: Option<f64>,
    pub sync_ms_mean: Option<f64>,
    pub load_average: f64,
    pub disk_syncs_per_s: f64,
    pub disk_sync_p99_ms: f64,
}

/// A summary of a run's latencies.
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
    pub p999: Duration,
    pub max: Duration,
}

impl Latency {
    #[must_use]
    pub fn of(sorted: &[Duration]) -> Self {
        let at = |share| figures::percentile(sorted, share);
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

impl Report {
    /// Adds the disk's speed just before and just after the run.
    #[must_use]
    pub fn on_disk(mut self, disk: &Calibration) -> Self {
        self.disk_syncs_per_s = disk.syncs_per_s();
        self.disk_sync_p99_ms = disk.p99_ms();
        self
    }

    /// Prints the text for people and the JSON for programs, a line each, to standard output.
    pub fn print(&self) {
        println!("{}", self.text());
        // Strings and numbers: writing these cannot fail.
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }

    /// Prints it on the way.
    #[must_use]
    pub fn printed(self) -> Self {
        self.print();
        self
    }

    fn text(&self) -> String {
        let handler = self.handler_cpu_us_per_event.map_or(String::new(), |us| format!(" (handler {us:.1})"));
        let syncs = self.syncs.zip(self.sync_ms_mean);
        let syncs = syncs.map_or(String::new(), |(count, ms)| format!("  {count} syncs of {ms} ms"));
        let p999 = self.p999_ms.map_or(String::new(), |ms| format!(" p99.9 {ms}"));
        format!(
            "{:9} {:10} {:>6}  {:.0} events/s  p50 {} p99 {}{p999} max {} ms  server {:.1} us{handler}  own {:.1} us  \
             peak {:.0} MiB{syncs}  load {}  disk {:.0} syncs/s",
            self.system,
            self.load,
            self.run,
            self.events_per_s,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.server_cpu_us_per_event,
            self.own_cpu_us_per_event,
            self.rss_peak_mib,
            self.load_average,
            self.disk_syncs_per_s
        )
    }

    /// The median of each figure; `None` without reports.
    #[must_use]
    pub fn median(runs: &[Self]) -> Option<Self> {
        let first = runs.first()?.clone();
        let of = |figure: fn(&Self) -> f64| figures::median(runs.iter().map(figure));
        let perhaps = |figure: fn(&Self) -> Option<f64>| {
            let known: Vec<f64> = runs.iter().filter_map(figure).collect();
            (!known.is_empty()).then(|| figures::median(known))
        };
        Some(Self {
            run: "median".into(),
            events_per_s: of(|r| r.events_per_s),
            p50_ms: of(|r| r.p50_ms),
            p99_ms: of(|r| r.p99_ms),
            p999_ms: perhaps(|r| r.p999_ms),
            max_ms: of(|r| r.max_ms),
            server_cpu_us_per_event: of(|r| r.server_cpu_us_per_event),
            handler_cpu_us_per_event: perhaps(|r| r.handler_cpu_us_per_event),
            own_cpu_us_per_event: of(|r| r.own_cpu_us_per_event),
            rss_peak_mib: of(|r| r.rss_peak_mib),
            syncs: perhaps(|r| r.syncs),
            sync_ms_mean: perhaps(|r| r.sync_ms_mean),
            load_average: of(|r| r.load_average),
            disk_syncs_per_s: of(|r| r.disk_syncs_per_s),
            disk_sync_p99_ms: of(|r| r.disk_sync_p99_ms),
            ..first
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn report(run: u32, p99_ms: f64) -> Report {
        Report {
            system: "weirgate".into(),
            load: "closed-64".into(),
            run: run.to_string(),
            events: 10,
            events_per_s: 1.0,
            p50_ms: 1.0,
            p99_ms,
            p999_ms: (run == 2).then_some(7.0),
            max_ms: 1.0,
            server_cpu_us_per_event: 50.0,
            handler_cpu_us_per_event: None,
            own_cpu_us_per_event: 1.0,
            rss_peak_mib: 1.0,
            syncs: None,
            sync_ms_mean: None,
            load_average: 1.0,
            disk_syncs_per_s: 1.0,
            disk_sync_p99_ms: 1.0,
        }
    }

    #[test]
    fn a_median_is_taken_figure_by_figure() {
        let median = Report::median(&[report(1, 9.0), report(2, 3.0), report(3, 5.0)]).expect("three runs");
        assert_eq!((median.run.as_str(), median.p999_ms, median.syncs), ("median", Some(7.0), None));
        assert!((median.p99_ms - 5.0).abs() < 1e-9);
        assert!(Report::median(&[]).is_none());
    }

    #[test]
    fn the_line_names_the_measured_figures() {
        let text = report(1, 9.25).text();
        assert!(text.contains("p99 9.25") && text.contains("server 50.0 us") && !text.contains("syncs of"), "{text}");
    }
}
