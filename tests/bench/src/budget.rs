//! The budget: how many instructions it costs the server to accept an event, counted by callgrind, against the figures of
//! `budget.json`. Unlike time, they hardly depend on the machine and on what else runs there.
//!
//! No handler is deployed: valgrind runs no components that were compiled for the processor's newest instructions.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;

use crate::{
    events, figures,
    orders::KEYS,
    server::{Place, Server},
};

/// By how much a figure may grow.
const GROWTH_MAX: f64 = 1.05;
/// Below this share, there should be a new figure.
const SLACK_MIN: f64 = 0.90;
/// Everything has been used once before instructions are counted.
const WARM_UP_EVENTS: usize = 1_000;
const EVENTS: usize = 3_000;

#[derive(Debug, Clone, Args)]
pub struct Budget {
    /// The figures: instructions of an event, by the number of events in a request
    #[arg(long, default_value = "tests/bench/budget.json", value_name = "FILE")]
    figures: PathBuf,
    /// Write the figures anew
    #[arg(long)]
    write: bool,
}

impl Budget {
    /// # Errors
    /// An event costs more than its budget; callgrind does not run.
    pub async fn run(&self, place: &Place) -> Result<()> {
        let text = fs::read_to_string(&self.figures).with_context(|| format!("reading {}", self.figures.display()))?;
        let mut budget: BTreeMap<usize, f64> = serde_json::from_str(&text)?;
        let mut exceeded = Vec::new();
        for (at_once, figure) in &mut budget {
            let counted = count(place, *at_once).await?;
            let share = counted / *figure;
            println!("{at_once} events a request: {counted:.0} instructions an event, {share:.3} of the budget");
            if self.write {
                *figure = counted.round();
            } else if share > GROWTH_MAX {
                exceeded.push(at_once.to_string());
            } else if share < SLACK_MIN {
                println!("that is well within the budget: write a new one (--write)");
            }
        }
        if self.write {
            fs::write(&self.figures, serde_json::to_string_pretty(&budget)? + "\n")?;
        }
        ensure!(
            exceeded.is_empty(),
            "with {} events a request, one costs over {GROWTH_MAX} times its budget ({}): find out why, or write a new one \
             (--write)",
            exceeded.join(" and "),
            self.figures.display()
        );
        Ok(())
    }
}

/// Instructions of an event, sent in requests of `at_once` events, one after the other.
async fn count(place: &Place, at_once: usize) -> Result<f64> {
    fs::create_dir_all(&place.work_dir)?;
    let out = tempfile::Builder::new().prefix("callgrind-").tempdir_in(&place.work_dir)?;
    let mut valgrind = Command::new("valgrind");
    // One thread runs at a time. Without fair scheduling, one that spins until another has gone on may be the only one for ever.
    valgrind.args(["--tool=callgrind", "--instr-atstart=no", "--smc-check=all-non-file", "--fair-sched=try"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.path().join("counts").display())).arg(&place.weirgate);
    let server = Server::start_bare(place, valgrind).await.context("the server does not start in valgrind")?;
    publish(&server, at_once, 0..WARM_UP_EVENTS).await?;
    control(&server, &["-i", "on"])?;
    publish(&server, at_once, WARM_UP_EVENTS..WARM_UP_EVENTS + EVENTS).await?;
    control(&server, &["-d"])?;
    let instructions = counts_in(out.path())?;
    Ok(figures::float(usize::try_from(instructions)?) / figures::float(EVENTS))
}

/// Publishes events with these numbers.
async fn publish(server: &Server, at_once: usize, numbers: Range<usize>) -> Result<()> {
    let numbers: Vec<usize> = numbers.collect();
    for numbers in numbers.chunks(at_once.max(1)) {
        let batch: Vec<_> = numbers.iter().map(|number| events::event(*number as u64, number % KEYS)).collect();
        let body = Bytes::from(events::batch(&batch));
        server.http.post("/v1/events", events::BATCH, body).await?;
    }
    Ok(())
}

/// Tells callgrind to do something now.
fn control(server: &Server, arguments: &[&str]) -> Result<()> {
    let done = Command::new("callgrind_control").args(arguments).arg(server.pid().to_string()).output();
    let done = done.context("callgrind_control does not run")?;
    if !done.status.success() {
        bail!("callgrind_control failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// The instructions in all dumps of a folder.
fn counts_in(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        total += instructions(&fs::read_to_string(entry?.path())?).unwrap_or_default();
    }
    ensure!(total > 0, "callgrind has counted no instructions");
    Ok(total)
}

/// What a dump says that it adds up to.
fn instructions(dump: &str) -> Option<u64> {
    let line = |name: &str| dump.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line("totals:").or_else(|| line("summary:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_says_what_it_adds_up_to() {
        let dump = "# callgrind format\nevents: Ir\nsummary: 120\n\nfn=(1) main\n1 100\n2 20\n\ntotals: 123\n";
        assert_eq!(instructions(dump), Some(123));
        assert_eq!(instructions("events: Ir\nsummary: 120\n"), Some(120));
        assert_eq!(instructions("events: Ir\n"), None);
    }

    #[test]
    fn dumps_of_a_folder_are_added_up_and_none_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(counts_in(dir.path()).is_err());
        fs::write(dir.path().join("counts.1"), "totals: 5\n").expect("written");
        fs::write(dir.path().join("counts"), "").expect("written");
        fs::write(dir.path().join("counts.2"), "totals: 7\n").expect("written");
        assert_eq!(counts_in(dir.path()).expect("counts"), 12);
    }
}
