//! The runs of the orders workload: each load several times, alternating with the peer, then medians and ratios.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{
    figures,
    load::Load,
    orders::Run,
    report::Report,
    restate::{Programs, Restate},
    server::Place,
};

/// Restate is slower; its runs should take about as long.
const PEER_EVENTS_SHARE: usize = 6;
/// The system of a baseline's runs.
const BASELINE: &str = "baseline";
/// Duration of an open-loop run, in seconds.
const OPEN_SECONDS: usize = 10;

#[derive(Debug, Clone, Args)]
pub struct Comparison {
    /// Loads: closed-N (in flight), batch-N (in flight, 16 a request), open-N (a second)
    #[arg(long = "load", value_delimiter = ',', default_value = "closed-64,closed-256,batch-256,open-200")]
    pub loads: Vec<Load>,
    /// Runs per load; medians are printed at the end
    #[arg(long, default_value_t = 3)]
    pub repeats: usize,
    /// Events per closed-loop run, enough for views to be written in the background; a peer gets a sixth of them
    #[arg(long, default_value_t = 60_000)]
    pub events: usize,
    /// Also run this build of the server, alternating
    #[arg(long, env = "WEIRGATE_BASELINE", value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Also run this system, alternating
    #[arg(long, value_enum)]
    pub peer: Option<Peer>,
    #[command(flatten)]
    pub programs: Programs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Peer {
    Restate,
}

/// The runs of one load: each system has the same number, or none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Turns {
    pub load: String,
    pub own: Vec<Report>,
    pub baseline: Vec<Report>,
    pub peer: Vec<Report>,
}

/// Weirgate's medians over another system's.
#[derive(Debug, Serialize)]
struct Ratio<'a> {
    load: &'a str,
    to: &'a str,
    server_cpu: f64,
    p99: f64,
    events_per_s: f64,
}

impl Comparison {
    /// Measures and prints everything.
    ///
    /// # Errors
    /// A run fails.
    pub async fn run(&self, place: &Place) -> Result<Vec<Turns>> {
        let restate = match self.peer {
            Some(Peer::Restate) => Some(Restate::new(self.programs.clone())?),
            None => None,
        };
        let mut all = Vec::new();
        for load in &self.loads {
            all.push(self.turns(place, *load, restate.as_ref()).await?);
        }
        println!("\nMedians of {}:", self.repeats);
        all.iter().for_each(Turns::print);
        Ok(all)
    }

    /// Weirgate, its baseline, the peer, Weirgate, ...: other activity of the machine affects all.
    async fn turns(&self, place: &Place, load: Load, restate: Option<&Restate>) -> Result<Turns> {
        let mut turns = Turns { load: load.to_string(), own: Vec::new(), baseline: Vec::new(), peer: Vec::new() };
        let run = |number| Run::new(load, events(load, self.events), number);
        for number in 1..=self.repeats {
            turns.own.push(run(number).measure(place).await?.printed());
            if let Some(weirgate) = self.baseline.clone() {
                let report = run(number).measure(&Place { weirgate, ..place.clone() }).await?;
                turns.baseline.push(Report { system: BASELINE.into(), ..report }.printed());
            }
            let Some(restate) = restate.filter(|_| !matches!(load, Load::Batched { .. })) else { continue };
            let report = restate.measure(place, load, events(load, self.events / PEER_EVENTS_SHARE), number).await?;
            turns.peer.push(report.printed());
        }
        Ok(turns)
    }
}

impl Turns {
    /// Prints the medians, and the ratios to the other systems'.
    fn print(&self) {
        let Some(own) = Report::median(&self.own) else { return };
        own.print();
        for other in [&self.baseline, &self.peer].into_iter().filter_map(|runs| Report::median(runs)) {
            other.print();
            ratio(&own, &other).print();
        }
    }
}

fn events(load: Load, closed: usize) -> usize {
    match load {
        Load::Open { per_s } => usize::try_from(per_s).unwrap_or(usize::MAX).saturating_mul(OPEN_SECONDS),
        Load::Closed { .. } | Load::Batched { .. } => closed,
    }
}

/// One system's figures over another's, of the same load.
fn ratio<'a>(own: &'a Report, other: &'a Report) -> Ratio<'a> {
    let of = |figure: fn(&Report) -> f64| figures::rounded(figure(own) / figure(other));
    Ratio {
        load: &own.load,
        to: &other.system,
        server_cpu: of(|r| r.server_cpu_us_per_event),
        p99: of(|r| r.p99_ms),
        events_per_s: of(|r| r.events_per_s),
    }
}

impl Ratio<'_> {
    fn print(&self) {
        let Self { load, to, server_cpu, p99, events_per_s } = self;
        println!("weirgate / {to} at {load}: server CPU per event {server_cpu}, p99 {p99}, events/s {events_per_s}");
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_ratio_names_the_other_system() {
        let own = report(1, 5.0);
        let peer = Report { system: "restate".into(), server_cpu_us_per_event: 500.0, ..report(1, 20.0) };
        let ratio = ratio(&own, &peer);
        assert!((ratio.server_cpu - 0.1).abs() < 1e-9 && (ratio.p99 - 0.25).abs() < 1e-9);
        assert_eq!((ratio.load, ratio.to), ("closed-64", "restate"));
    }

    #[test]
    fn an_open_load_lasts_its_time() {
        assert_eq!(events(Load::Open { per_s: 200 }, 7), 2_000);
        assert_eq!(events(Load::Closed { in_flight: 64 }, 7), 7);
    }
}
