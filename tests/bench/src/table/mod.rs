//! One table of everything that there is a goal for: measures it in one run, keeps the samples as data, and writes the table
//! into a document. What each figure is, the measuring modules say.

mod render;
mod rows;
mod samples;
mod setting;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use self::samples::{Calls, Samples};
use crate::{
    compare::{Comparison, Peer},
    load::Load,
    push::Pushes,
    restate::Programs,
    scale::Scale,
    server::Place,
};

/// Connections of the goal for idle ones.
const IDLE: usize = 5_000;
const SUBSCRIBERS: usize = 1_000;
/// Events to all subscribers: enough for a figure, for the processes' times are counted in hundredths of a second.
const ROUNDS: u64 = 200;

#[derive(Debug, Clone, Args)]
pub struct Table {
    /// Up to how many events the log grows; most goals are for 10,000,000
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Stop adding events to the log after this time
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// How often everything else is measured
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Events per closed-loop run of the orders workload
    #[arg(long, default_value_t = 30_000)]
    order_events: usize,
    /// The build to compare with, alternating
    #[arg(long, env = "WEIRGATE_BASELINE", value_name = "FILE")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
    /// What `cargo bench --bench call_cost` has printed
    #[arg(long, value_name = "FILE")]
    calls: Option<PathBuf>,
    /// The samples: written after each part of the run
    #[arg(long, default_value = "target/bench/samples.json", value_name = "FILE")]
    samples: PathBuf,
    /// Measure nothing: render the samples of an earlier run
    #[arg(long)]
    render_only: bool,
    /// Write the table into this document too, between its two comments
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

impl Table {
    /// # Errors
    /// A measurement fails, or a file cannot be read or written.
    pub async fn run(&self, place: &Place) -> Result<()> {
        let samples = if self.render_only { self.read()? } else { self.measure(place).await? };
        let table = render::table(&samples.setting, &rows::of(&samples));
        println!("\n{table}");
        if let Some(document) = &self.into {
            let text = fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
            fs::write(document, render::replaced(&text, &table)?)?;
        }
        Ok(())
    }

    async fn measure(&self, place: &Place) -> Result<Samples> {
        fs::create_dir_all(&place.work_dir)?;
        let mut samples = Samples {
            setting: setting::now()?,
            calls: self.calls.as_deref().map(Calls::read).transpose()?.unwrap_or_default(),
            orders: self.comparison().run(place).await?,
            ..Samples::default()
        };
        self.write(&samples)?;
        samples.pushed = self.pushes().run(place).await?;
        self.write(&samples)?;
        samples.scaled = self.scale(place).run(place).await?;
        samples.setting.loads.push(crate::process::load_average()?);
        self.write(&samples)?;
        Ok(samples)
    }

    fn comparison(&self) -> Comparison {
        let has_peer = self.programs.restate_server.is_some() && self.programs.restate_driver.is_some();
        Comparison {
            loads: vec![
                Load::Closed { in_flight: 64 },
                Load::Closed { in_flight: 256 },
                Load::Batched { in_flight: 256 },
                Load::Open { per_s: 200 },
            ],
            repeats: self.repeats,
            events: self.order_events,
            baseline: self.baseline.clone(),
            peer: has_peer.then_some(Peer::Restate),
            programs: self.programs.clone(),
        }
    }

    fn pushes(&self) -> Pushes {
        Pushes { subscribers: SUBSCRIBERS, rounds: ROUNDS, keyed: 20_000, idle: IDLE, repeats: self.repeats }
    }

    fn scale(&self, place: &Place) -> Scale {
        Scale {
            events: self.events,
            minutes: self.minutes,
            openings: self.repeats,
            marks: place.work_dir.join("scale.jsonl"),
        }
    }

    fn read(&self) -> Result<Samples> {
        let text = fs::read(&self.samples).with_context(|| format!("reading {}", self.samples.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no samples", self.samples.display()))
    }

    fn write(&self, samples: &Samples) -> Result<()> {
        Ok(fs::write(&self.samples, serde_json::to_vec_pretty(samples)?)?)
    }
}
