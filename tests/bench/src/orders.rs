//! The orders workload on Weirgate: 1,000 keys; an event is done when its status has been pushed.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use crate::{
    clock,
    disk::Calibration,
    events, figures,
    ledger::Ledger,
    load::{Driver, Load},
    process,
    report::{Latency, Report},
    scrape::Scrape,
    server::{Place, Server},
    watch::{OnStatus, SUBJECTS_MAX, Watchers},
};

pub const KEYS: usize = 1_000;
/// Events sent before the measurement: then each key has had two.
const WARM_UP_EVENTS: usize = 2 * KEYS;
const WARM_UP: Load = Load::Closed { in_flight: 64 };

/// A run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub load: Load,
    pub events: usize,
    pub number: usize,
    /// Number of subjects that a live connection watches.
    pub subjects_each: usize,
}

impl Run {
    /// The default: as few connections as the limit on subjects allows.
    #[must_use]
    pub fn new(load: Load, events: usize, number: usize) -> Self {
        Self { load, events, number, subjects_each: SUBJECTS_MAX }
    }

    /// Measures it, on its own server.
    ///
    /// # Errors
    /// The server does not run, or an event was lost or counted twice.
    pub async fn measure(self, place: &Place) -> Result<Report> {
        let server = Server::start(place).await?;
        let ledger = Arc::new(Ledger::new(KEYS));
        let mut watchers = self.watch(&server, &ledger).await?;
        let mut driver = Driver { http: &server.http, ledger: &ledger, watchers: &mut watchers };
        driver.drive(WARM_UP, WARM_UP_EVENTS).await?;
        let disk = Calibration::of(&place.work_dir)?;
        let load_average = process::load_average()?;
        let first = ledger.next();
        let before = Used::now(&server).await?;
        let begun = clock::now();
        driver.drive(self.load, self.events).await?;
        let took = begun.elapsed();
        let used = Used::now(&server).await?.since(&before);
        ledger.check()?;
        let latency = Latency::of(&ledger.latencies(first..first + self.events));
        let peak_kib = process::resident_peak_kib(server.pid())?;
        let disk = disk.and(Calibration::of(&place.work_dir)?);
        let measured = Measured { latency, used, took, peak_kib, load_average };
        Ok(self.report(&measured).on_disk(&disk))
    }

    /// Watches every key.
    ///
    /// # Errors
    /// The server does not take the connections.
    pub async fn watch(self, server: &Server, ledger: &Arc<Ledger>) -> Result<Watchers> {
        let subjects: Vec<String> = (0..ledger.keys()).map(events::subject).collect();
        let subjects = subjects.chunks(self.subjects_each.max(1)).map(<[String]>::to_vec).collect();
        let ledger = Arc::clone(ledger);
        let on_status: OnStatus = Arc::new(move |subject, seen| {
            if let Some(key) = events::key(subject) {
                ledger.see(key, seen, clock::now());
            }
        });
        Watchers::connect(&server.authority, subjects, &on_status).await
    }

    fn report(self, measured: &Measured) -> Report {
        let Measured { latency, used, took, peak_kib, load_average } = measured;
        let Scrape { syncs, sync_seconds, .. } = used.scrape;
        Report {
            system: "weirgate".into(),
            load: self.load.to_string(),
            run: self.number.to_string(),
            events: self.events,
            events_per_s: figures::rate_per_s(self.events, *took),
            p50_ms: figures::ms(latency.p50),
            p99_ms: figures::ms(latency.p99),
            p999_ms: Some(figures::ms(latency.p999)),
            max_ms: figures::ms(latency.max),
            server_cpu_us_per_event: figures::us_each(used.server_cpu, self.events),
            handler_cpu_us_per_event: Some(figures::us_each(used.scrape.attempt_cpu(), self.events)),
            own_cpu_us_per_event: figures::us_each(used.own_cpu, self.events),
            rss_peak_mib: figures::mib(*peak_kib),
            syncs: Some(syncs),
            sync_ms_mean: Some(figures::rounded(sync_seconds * 1e3 / syncs.max(1.0))),
            load_average: *load_average,
            disk_syncs_per_s: 0.0,
            disk_sync_p99_ms: 0.0,
        }
    }
}

/// Everything that a run's report needs.
struct Measured {
    latency: Latency,
    used: Used,
    took: Duration,
    peak_kib: u64,
    load_average: f64,
}

/// The resources that server and driver have used so far.
pub struct Used {
    pub server_cpu: Duration,
    pub own_cpu: Duration,
    pub scrape: Scrape,
}

impl Used {
    /// # Errors
    /// The server is gone.
    pub async fn now(server: &Server) -> Result<Self> {
        let scrape = server.scrape().await?;
        Ok(Self { server_cpu: process::cpu(server.pid())?, own_cpu: process::cpu(std::process::id())?, scrape })
    }

    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            server_cpu: self.server_cpu.saturating_sub(before.server_cpu),
            own_cpu: self.own_cpu.saturating_sub(before.own_cpu),
            scrape: self.scrape.since(before.scrape),
        }
    }
}
