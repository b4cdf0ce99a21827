//! `weirgate log`: checks and repairs a log while no server uses it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weirgate_engine::{
    Clock, SystemClock,
    storage::{self, Finding, LostRange, Repaired, Survey},
};

use super::arguments::Output;
use crate::{
    failure::{Failure, usage},
    output, private,
};

#[derive(Debug, Subcommand)]
pub enum Log {
    /// Verify the whole log and print one line for each damaged place
    Verify(DataDir),
    /// Repair a damaged log so that it opens. Unreadable records are lost, so restore a backup instead if you have one
    Repair(Repair),
    /// Begin a new epoch, after restoring a backup that lacks acknowledged records
    NewEpoch(DataDir),
}

#[derive(Debug, Args)]
pub struct DataDir {
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
pub struct Repair {
    #[command(flatten)]
    pub dir: DataDir,
    /// Give up unreadable records
    #[arg(long)]
    pub accept_loss: bool,
}

/// The log is damaged, or lacks records.
const DAMAGED: u8 = 1;

pub fn run(command: &Log, output: Output) -> Result<ExitCode> {
    private::close_new_files();
    match command {
        Log::Verify(dir) => verify(&dir.data, output),
        Log::Repair(flags) => repair(flags, output),
        Log::NewEpoch(dir) => {
            let began = storage::repair(&dir.data, true, SystemClock::default().now_ms());
            let Some(began) = began.with_context(|| refused(&dir.data))? else { return no_log(&dir.data) };
            print(output, &summary(&began), || format!("epoch {} begins after position {}", began.epoch, began.head))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(data: &Path, output: Output) -> Result<ExitCode> {
    let Some(survey) = storage::verify(data).with_context(|| refused(data))? else { return no_log(data) };
    match output {
        Output::Json => output::json(&format!("{:#}", of_survey(&survey)))?,
        Output::Text => {
            survey.findings.iter().try_for_each(|finding| output::line(&line(finding)))?;
            let cut_off = |torn| output::line(&format!("{}; it is cut off at the next start", line(torn)));
            survey.torn.iter().try_for_each(cut_off)?;
            let (segments, head, count) = (survey.segments(), survey.head(), survey.findings.len());
            let (records, epoch) = (survey.records, survey.epochs.current());
            let positions = format!("segments {segments}, positions 1 to {head}, records {records}");
            output::line(&format!("{positions}, epoch {epoch}: findings {count}"))?;
        }
    }
    Ok(if survey.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn repair(flags: &Repair, output: Output) -> Result<ExitCode> {
    let data = &flags.dir.data;
    let Some(survey) = storage::verify(data).with_context(|| refused(data))? else { return no_log(data) };
    if !flags.accept_loss && survey.findings.iter().any(Finding::is_damage) {
        return Err(usage(
            "a repair loses the unreadable records; list them with `weirgate log verify`, then add --accept-loss",
        ));
    }
    let repaired = storage::repair(data, false, SystemClock::default().now_ms()).with_context(|| refused(data))?;
    let Some(repaired) = repaired else {
        print(output, &json!({ "repaired": false }), || "nothing to repair".to_owned())?;
        return Ok(ExitCode::SUCCESS);
    };
    print(output, &summary(&repaired), || {
        let findings = repaired.findings.iter().map(line);
        let copies = repaired.copies.iter().map(|copy| format!("kept as it was: log/{copy}"));
        let end = format!("repaired: positions 1 to {}, then epoch {} begins", repaired.head, repaired.epoch);
        findings.chain(copies).chain([end]).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn refused(data: &Path) -> String {
    format!("the log in {} was left as it is", data.display())
}

fn no_log(data: &Path) -> Result<ExitCode> {
    Err(Failure::NotFound(format!("there is no log in {}", data.display())).into())
}

fn print(output: Output, json: &Value, text: impl FnOnce() -> String) -> Result<()> {
    match output {
        Output::Json => output::json(&format!("{json:#}")),
        Output::Text => text().lines().try_for_each(output::line),
    }
}

fn line(finding: &Finding) -> String {
    let Finding { file, from, to, what, kept, lost } = finding;
    let place = if from == to { format!("{file} byte {from}") } else { format!("{file} bytes {from} to {to}") };
    let lost: Vec<_> = lost.iter().map(range).collect();
    let lost = if lost.is_empty() { "no position is lost".to_owned() } else { format!("lost: {}", lost.join(", ")) };
    let kept: Vec<_> = kept.iter().map(|(position, kind)| format!("{position} ({kind})")).collect();
    let kept = if kept.is_empty() { String::new() } else { format!("; readable: {}", kept.join(", ")) };
    format!("{place}: {what}: {lost}{kept}")
}

fn range(lost: &LostRange) -> String {
    let LostRange { first, last, kind } = lost;
    let positions = if first == last { format!("position {first}") } else { format!("positions {first} to {last}") };
    kind.map_or(positions.clone(), |kind| format!("{positions} (seems to be: {kind})"))
}

fn of_finding(finding: &Finding) -> Value {
    let Finding { file, from, to, what, kept, lost } = finding;
    let kept: Vec<_> = kept.iter().map(|(position, kind)| json!({ "position": position, "kind": kind })).collect();
    let lost: Vec<_> = lost
        .iter()
        .map(|LostRange { first, last, kind }| json!({ "first": first, "last": last, "kind": kind }))
        .collect();
    json!({ "file": file, "from": from, "to": to, "what": what, "kept": kept, "lost": lost })
}

fn of_survey(survey: &Survey) -> Value {
    json!({
        "segments": survey.segments(), "head": survey.head(), "records": survey.records,
        "epoch": survey.epochs.current().to_string(),
        "findings": survey.findings.iter().map(of_finding).collect::<Vec<_>>(),
        "torn": survey.torn.as_ref().map(of_finding),
    })
}

fn summary(repaired: &Repaired) -> Value {
    json!({
        "repaired": true, "head": repaired.head, "epoch": repaired.epoch.to_string(), "copies": repaired.copies,
        "findings": repaired.findings.iter().map(of_finding).collect::<Vec<_>>(),
    })
}
