//! Restate under the same workload: its server and a driver for it, both supplied by the user, started and read here. The
//! driver is also the handlers' process, counts an event as done when its handler has run, and prints a line of JSON.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    disk::Calibration,
    figures,
    http::Http,
    load::Load,
    process,
    report::Report,
    server::{Place, Running, START},
};

/// Durability is Restate's default: its log is synced.
const CONFIGURATION: &str = r#"
bind-ip = "127.0.0.1"
disable-telemetry = true
node-name = "n1"
log-filter = "warn"
log-disable-ansi-codes = true
"#;
/// Restate's default ports: requests, and administration.
const INGRESS: &str = "127.0.0.1:8080";
const ADMIN: &str = "127.0.0.1:9070";
const WARM_UP_EVENTS: usize = 2_000;
const PATIENCE: Duration = Duration::from_mins(4);

/// The paths of its programs.
#[derive(Debug, Clone, clap::Args)]
pub struct Programs {
    /// Restate's server (npm: @restatedev/restate-server)
    #[arg(long, env = "RESTATE_SERVER", value_name = "FILE")]
    pub restate_server: Option<PathBuf>,
    /// A driver for it that takes --n, --inflight, --mode, --rate and --pids
    #[arg(long, env = "RESTATE_DRIVER", value_name = "FILE")]
    pub restate_driver: Option<PathBuf>,
}

/// Both programs.
#[derive(Debug, Clone)]
pub struct Restate {
    server: PathBuf,
    driver: PathBuf,
}

/// The driver's output.
#[derive(Debug, Deserialize)]
struct Printed {
    n: usize,
    done: usize,
    complete: bool,
    eps: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    srv_cpu_us_per_ev: f64,
    own_cpu_us_per_ev: f64,
}

impl Restate {
    /// # Errors
    /// One of the programs is not given.
    pub fn new(programs: Programs) -> Result<Self> {
        match (programs.restate_server, programs.restate_driver) {
            (Some(server), Some(driver)) => Ok(Self { server, driver }),
            _ => bail!("set RESTATE_SERVER and RESTATE_DRIVER to the two programs (docs/performance.md)"),
        }
    }

    /// Measures `load` on its own server.
    ///
    /// # Errors
    /// It does not start, or not all events were handled.
    pub async fn measure(&self, place: &Place, load: Load, events: usize, number: usize) -> Result<Report> {
        std::fs::create_dir_all(&place.work_dir)?;
        let dir = tempfile::Builder::new().prefix("restate-").tempdir_in(&place.work_dir)?;
        let server = self.start(dir.path()).await?;
        let warm_up = Load::Closed { in_flight: 64 };
        self.drive(server.pid(), warm_up, WARM_UP_EVENTS).await.context("Restate's warm-up failed")?;
        let disk = Calibration::of(&place.work_dir)?;
        let load_average = process::load_average()?;
        let printed = self.drive(server.pid(), load, events).await?;
        let peak_kib = process::resident_peak_kib(server.pid())?;
        let disk = disk.and(Calibration::of(&place.work_dir)?);
        Ok(printed.report(load, number, peak_kib, load_average).on_disk(&disk))
    }

    async fn start(&self, dir: &Path) -> Result<Running> {
        let configuration = dir.join("restate.toml");
        std::fs::write(&configuration, CONFIGURATION)?;
        let mut command = Command::new(&self.server);
        command.arg("--config-file").arg(&configuration).arg("--base-dir").arg(dir.join("data"));
        let mut running = Running::start(&mut command, &dir.join("server.log"))?;
        running.ready(&Http::new(ADMIN), "/health", START).await.context("Restate does not start")?;
        running.ready(&Http::new(INGRESS), "/restate/health", START).await.context("Restate does not start")?;
        Ok(running)
    }

    async fn drive(&self, server: u32, load: Load, events: usize) -> Result<Printed> {
        let mut command = tokio::process::Command::new(&self.driver);
        command.args(["--n", &events.to_string(), "--mode", "send", "--pids", &server.to_string()]).kill_on_drop(true);
        match load {
            Load::Closed { in_flight } => command.args(["--inflight", &in_flight.to_string()]),
            Load::Open { per_s } => command.args(["--rate", &per_s.to_string()]),
            Load::Batched { .. } => bail!("Restate takes no batches"),
        };
        let output = timeout(PATIENCE, command.output()).await.context("Restate's driver takes too long")??;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().rev().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("Restate's driver: {}", String::from_utf8_lossy(&output.stderr)))?;
        let printed: Printed = serde_json::from_str(line)?;
        if !printed.complete || printed.done != printed.n {
            bail!("Restate has handled {} of {} events", printed.done, printed.n);
        }
        Ok(printed)
    }
}

impl Printed {
    fn report(&self, load: Load, number: usize, peak_kib: u64, load_average: f64) -> Report {
        Report {
            system: "restate".into(),
            load: load.to_string(),
            run: number.to_string(),
            events: self.n,
            events_per_s: self.eps,
            p50_ms: self.p50_ms,
            p99_ms: self.p99_ms,
            p999_ms: None,
            max_ms: self.max_ms,
            server_cpu_us_per_event: self.srv_cpu_us_per_ev,
            handler_cpu_us_per_event: None,
            own_cpu_us_per_event: self.own_cpu_us_per_ev,
            rss_peak_mib: figures::mib(peak_kib),
            syncs: None,
            sync_ms_mean: None,
            load_average,
            disk_syncs_per_s: 0.0,
            disk_sync_p99_ms: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_line_is_read() {
        let line = r#"{"w":"W1","peer":"restate-rust-send","n":8000,"done":8000,"complete":true,"inflight":64,"rate":0,
            "eps":1715.0,"p50_ms":35.1,"p99_ms":74.0,"max_ms":90.5,"srv_cpu_us_per_ev":671.0,"own_cpu_us_per_ev":149.0,
            "srv_pss_mb":340}"#;
        let printed: Printed = serde_json::from_str(line).expect("a line");
        let report = printed.report(Load::Closed { in_flight: 64 }, 2, 348_160, 1.5);
        assert_eq!((report.load.as_str(), report.run.as_str(), report.events), ("closed-64", "2", 8_000));
        assert!((report.rss_peak_mib - 340.0).abs() < 1e-9);
    }
}
