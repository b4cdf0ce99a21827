//! What an event costs as the log grows: one server takes the orders workload up to a number of events, and is opened again
//! with all of them behind it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    clock, events, figures,
    ledger::Ledger,
    load::{Driver, Load},
    orders::{KEYS, Run, Used},
    plot, process,
    server::{Place, Server},
};

/// As `batch-256` of the orders workload: 16 events a request, 256 in flight.
const LOAD: Load = Load::Batched { in_flight: 256 };
/// A load has a time limit, so a long one is split; and the parts show how much a figure varies.
pub const PART: usize = 25_000;
/// The first mark, in events; the others are 2, 4 and 10 times as many, and so on.
const FIRST: usize = 100_000;
/// How long an opening may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// Everything in the data directory that is made from the log.
const DERIVED: [&str; 3] = ["views", "history", "identities"];

#[derive(Debug, Clone, Args)]
pub struct Scale {
    /// Up to how many events
    #[arg(long, default_value_t = 10_000_000)]
    pub events: usize,
    /// Stop adding events after this time
    #[arg(long, default_value_t = 30)]
    pub minutes: u64,
    /// How often it is killed and opened, and as often without views
    #[arg(long, default_value_t = 1)]
    pub openings: usize,
    /// Where to write the marks, a line of JSON each
    #[arg(long, default_value = "target/bench/scale.jsonl", value_name = "FILE")]
    pub marks: PathBuf,
}

/// Draws the marks of a run.
#[derive(Debug, Clone, Args)]
pub struct Draw {
    /// The marks
    #[arg(long, default_value = "target/bench/scale.jsonl", value_name = "FILE")]
    marks: PathBuf,
    /// Those of another build, to be drawn beside
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Where to draw cost and memory
    #[arg(long, default_value = "docs/images/scale.svg", value_name = "FILE")]
    to: PathBuf,
}

impl Draw {
    /// # Errors
    /// The marks cannot be read or the picture cannot be written.
    pub fn run(&self) -> Result<()> {
        let before = self.beside.as_deref().map(read).transpose()?;
        fs::write(&self.to, plot::of(&read(&self.marks)?, before.as_deref()))?;
        Ok(())
    }
}

/// The figures with a number of events behind them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Mark {
    pub events: usize,
    /// The server's CPU time for each event since the mark before.
    pub cpu_us: f64,
    /// The same of each part that the events were sent in.
    #[serde(default)]
    pub parts_cpu_us: Vec<f64>,
    pub events_per_s: f64,
    pub resident_mib: f64,
    pub log_mib: f64,
    /// Everything that is made from the log.
    pub derived_mib: f64,
    /// Bytes written to the disk for each event since the mark before.
    pub written_bytes: f64,
}

/// What is removed before an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removed {
    Nothing,
    Views,
    AllButTheLog,
}

/// An opening after a kill.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    pub removed: Removed,
    /// Number of events behind it.
    pub events: usize,
    /// From the start of the process until it is ready.
    pub ready_s: f64,
    /// Until a subject's status is answered.
    pub answers_s: f64,
    pub cpu_s: f64,
    pub resident_mib: f64,
}

/// What a growing log cost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Scaled {
    pub marks: Vec<Mark>,
    pub openings: Vec<Opening>,
}

impl Scale {
    /// Measures and prints everything, and writes the marks.
    ///
    /// # Errors
    /// The server does not run, an event was lost or counted twice, or a file cannot be written.
    pub async fn run(&self, place: &Place) -> Result<Scaled> {
        let mut server = Server::start(place).await?;
        let marks = self.fill(&server).await?;
        let lines: Vec<String> = marks.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        fs::write(&self.marks, lines.join("\n") + "\n")?;
        let behind = marks.last().map_or(0, |mark| mark.events);
        let mut openings = Vec::new();
        for removed in [Removed::Nothing, Removed::Views, Removed::AllButTheLog] {
            // The last is the first thing that an operator does, once.
            let times = if removed == Removed::AllButTheLog { 1 } else { self.openings };
            for _ in 0..times {
                let opening = open(place, &mut server, removed, behind).await?;
                opening.print();
                openings.push(opening);
            }
        }
        Ok(Scaled { marks, openings })
    }

    /// Sends events up to each mark, and measures there.
    async fn fill(&self, server: &Server) -> Result<Vec<Mark>> {
        let ledger = Arc::new(Ledger::new(KEYS));
        let mut watchers = Run::new(LOAD, 0, 0).watch(server, &ledger).await?;
        let deadline = clock::now() + Duration::from_secs(self.minutes * 60);
        let mut marks = Vec::new();
        for until in marks_until(self.events) {
            let (begun, before, first) = (clock::now(), Used::now(server).await?, ledger.next());
            let written = process::written_bytes(server.pid())?;
            let mut parts_cpu_us = Vec::new();
            while ledger.next() < until && clock::now() < deadline {
                let (count, before) = (PART.min(until - ledger.next()), process::cpu(server.pid())?);
                let mut driver = Driver { http: &server.http, ledger: &ledger, watchers: &mut watchers };
                driver.drive(LOAD, count).await?;
                ledger.forget();
                parts_cpu_us.push(figures::us_each(process::cpu(server.pid())?.saturating_sub(before), count));
            }
            let sent = ledger.next() - first;
            if sent == 0 {
                break;
            }
            let used = Used::now(server).await?.since(&before);
            let written = process::written_bytes(server.pid())?.saturating_sub(written);
            let data = server.data();
            let derived = DERIVED.iter().map(|folder| bytes_of(&data.join(folder))).sum::<Result<u64>>()?;
            let mark = Mark {
                events: ledger.next(),
                cpu_us: figures::us_each(used.server_cpu, sent),
                parts_cpu_us,
                events_per_s: figures::rate_per_s(sent, begun.elapsed()),
                resident_mib: figures::mib(process::resident_kib(server.pid())?),
                log_mib: figures::mib(bytes_of(&data.join("log"))? / 1024),
                derived_mib: figures::mib(derived / 1024),
                written_bytes: figures::rounded(figures::float(usize::try_from(written)?) / figures::float(sent)),
            };
            println!("{}", serde_json::to_string(&mark)?);
            marks.push(mark);
        }
        ledger.check()?;
        Ok(marks)
    }
}

impl Removed {
    fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Views => &["views"],
            Self::AllButTheLog => &DERIVED,
        }
    }
}

impl Opening {
    fn print(&self) {
        let removed = match self.removed {
            Removed::Nothing => "",
            Removed::Views => ", without views",
            Removed::AllButTheLog => ", with nothing but the log",
        };
        let Self { events, ready_s, answers_s, cpu_s, resident_mib, .. } = self;
        println!(
            "opened after kill -9{removed}, {events} events: ready after {ready_s} s, a subject answers after {answers_s} s, \
             {cpu_s} s of CPU, {resident_mib} MiB resident"
        );
    }
}

/// Kills the server and opens its data directory, without what is `removed`.
async fn open(place: &Place, server: &mut Server, removed: Removed, events: usize) -> Result<Opening> {
    let ready = server.restart(place, removed.folders(), PATIENCE).await?;
    let answers = ready + first_status(server).await?;
    Ok(Opening {
        removed,
        events,
        ready_s: figures::rounded(ready.as_secs_f64()),
        answers_s: figures::rounded(answers.as_secs_f64()),
        cpu_s: figures::rounded(process::cpu(server.pid())?.as_secs_f64()),
        resident_mib: figures::mib(process::resident_kib(server.pid())?),
    })
}

/// How long the first answer about a subject takes.
async fn first_status(server: &Server) -> Result<Duration> {
    let (begun, path) = (clock::now(), format!("/v1/status/{}", events::subject(0)));
    loop {
        match server.http.get(&path).await {
            Ok(_) => return Ok(begun.elapsed()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn read(file: &Path) -> Result<Vec<Mark>> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("a mark is a line of JSON")).collect()
}

/// The marks up to a number of events, which is the last.
fn marks_until(events: usize) -> Vec<usize> {
    let steps = std::iter::successors(Some(FIRST), |decade| decade.checked_mul(10));
    let marks = steps.flat_map(|decade| [1, 2, 4].map(|times| decade.saturating_mul(times)));
    marks.take_while(|mark| *mark < events).chain([events]).collect()
}

/// The size of all files below a folder; 0 if there is none. Blocks are counted, not lengths: a file may be sparse.
fn bytes_of(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(dir) else { return Ok(0) };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_of(&entry.path())?,
            Ok(metadata) => metadata.blocks() * 512,
            // The server removes files while this is counted.
            Err(_) => 0,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_end_with_the_number_of_events() {
        assert_eq!(marks_until(1_000_000), [100_000, 200_000, 400_000, 1_000_000]);
        assert_eq!(marks_until(150_000), [100_000, 150_000]);
        assert_eq!(marks_until(7), [7]);
    }

    #[test]
    fn a_folder_that_is_missing_has_no_bytes() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(bytes_of(&dir.path().join("none")).expect("no error"), 0);
        fs::create_dir(dir.path().join("a")).expect("created");
        fs::write(dir.path().join("a/b"), [1; 10_000]).expect("written");
        assert!(bytes_of(dir.path()).expect("counted") >= 10_000);
    }
}
