//! `weirgate replays`: executes attempts of a log again while no server uses it.

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weirgate_engine::{
    replay::{Difference, Verification, Verified},
    storage,
};
use weirgate_host::{Host, HostOptions};
use weirgate_types::Position;

use super::{arguments::Output, log::DataDir};
use crate::{failure::Failure, output, private};

#[derive(Debug, Subcommand)]
pub enum Replays {
    /// Execute recorded attempts again, and print each that comes to another result
    ///
    /// No host is called and nothing is changed. Attempts that were ended by time, by a stop of the server or by a lack of memory
    /// are not executed: their result depends on more than the log holds.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub dir: DataDir,
    /// Only attempts that ended after this position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub after: u64,
    /// Only attempts that ended up to this position
    #[arg(long, value_name = "POSITION", default_value_t = u64::MAX, hide_default_value = true)]
    pub through: u64,
}

/// An attempt differs.
const DIFFERENT: u8 = 1;

pub fn run(command: &Replays, output: Output) -> Result<ExitCode> {
    private::close_new_files();
    let Replays::Verify(flags) = command;
    let data = &flags.dir.data;
    let reader = storage::reader(data).with_context(|| format!("the log in {} cannot be read", data.display()))?;
    let no_log = || Failure::NotFound(format!("there is no log in {}", data.display()));
    let reader = reader.ok_or_else(no_log)?;
    let verification = Verification::new(reader, Arc::new(host(data)?));
    let verified = verification.run(Position(flags.after), Position(flags.through))?;
    match output {
        Output::Json => output::json(&format!("{:#}", to_json(&verified)))?,
        Output::Text => text(&verified).iter().try_for_each(|line| output::line(line))?,
    }
    Ok(if verified.different == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// A host for the modules of a data directory.
fn host(data: &Path) -> Result<Host> {
    let program: OsString = std::env::current_exe().context("cannot locate this program")?.into();
    let options = HostOptions::new(data.join("modules"), vec![program, "compile-module".into()]);
    Ok(Host::new(options)?)
}

fn text(verified: &Verified) -> Vec<String> {
    let Verified { executed, not_reproducible, without_module, different, differences } = verified;
    let mut lines: Vec<String> = differences.iter().flat_map(lines_of).collect();
    let more = different.saturating_sub(differences.len() as u64);
    lines.extend((more > 0).then(|| format!("and {more} more that differ")));
    lines.extend((*without_module > 0).then(|| format!("attempts without their module: {without_module}")));
    let skipped = format!("not reproducible, not executed: {not_reproducible}");
    lines.push(format!("attempts executed again: {executed}; {skipped}; different: {different}"));
    lines
}

fn lines_of(difference: &Difference) -> Vec<String> {
    let Difference { delivery, attempt, commit, parts, .. } = difference;
    let head = format!("{delivery}, attempt {attempt}, committed at {commit}:");
    let parts = parts.iter().flat_map(|part| {
        let name = part.part.as_str();
        [format!("  {name} recorded: {}", part.recorded), format!("  {name} now:      {}", part.now)]
    });
    [head].into_iter().chain(parts).collect()
}

fn to_json(verified: &Verified) -> Value {
    let differences = verified.differences.iter().map(|difference| {
        let parts = difference
            .parts
            .iter()
            .map(|part| json!({ "part": part.part.as_str(), "recorded": part.recorded, "now": part.now }));
        json!({
            "delivery": difference.delivery.to_string(),
            "attempt": difference.attempt,
            "commit": difference.commit.0,
            "digest": difference.digest.to_string(),
            "parts": parts.collect::<Vec<_>>(),
        })
    });
    json!({
        "executed": verified.executed,
        "not_reproducible": verified.not_reproducible,
        "without_module": verified.without_module,
        "different": verified.different,
        "differences": differences.collect::<Vec<_>>(),
    })
}
