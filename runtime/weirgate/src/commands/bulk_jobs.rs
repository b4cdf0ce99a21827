//! `weirgate bulk-jobs`, and waiting for one to end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use weirgate_types::json::Node;

use super::{
    decide::nothing_matched,
    members::{number, word},
    table::{self, Column},
};
use crate::{
    client::{Answer, Body, Server, path},
    commands::arguments::{Output, whole},
    failure::Failure,
    output,
};

#[derive(Debug, Subcommand)]
pub enum BulkJobs {
    /// List the newest bulk jobs since the server started
    List,
    /// Show the progress of a bulk job
    Show {
        /// The number that the list shows
        #[arg(value_name = "ID", value_parser = whole::<u64>)]
        id: u64,
    },
    /// Cancel a bulk job; its completed commands remain in effect
    Cancel {
        /// The number that the list shows
        #[arg(value_name = "ID", value_parser = whole::<u64>)]
        id: u64,
    },
}

const COLUMNS: [Column; 9] = [
    Column::of("id"),
    Column::of("command"),
    Column::of("state"),
    Column::of("done"),
    Column::of("refused"),
    Column::age("age", "started_at_ms").dropped(1),
    Column::of("actor").dropped(0),
    Column::of("reason").wrapped(),
    Column::of("error").wrapped(),
];
/// Interval between polls of a waiting command, and number of polls between progress messages.
const ASK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: u32 = 10;

pub async fn run(server: &Server, output: Output, command: BulkJobs) -> Result<()> {
    let answer = match command {
        BulkJobs::List => server.get("/v1/bulk-jobs").await?,
        BulkJobs::Show { id } => wrapped(server.get(&path(&["bulk-jobs", &id.to_string()])?).await?),
        BulkJobs::Cancel { id } => {
            wrapped(server.post(&path(&["bulk-jobs", &id.to_string(), "cancel"])?, &Body::new()).await?)
        }
    };
    table::print(output, &answer, "bulk_jobs", &COLUMNS)
}

/// Prints a bulk job when it has ended; meanwhile prints its progress on standard error. One that found nothing failed.
pub async fn wait(server: &Server, output: Output, begun: Answer) -> Result<()> {
    let ended = end(server, begun).await?;
    let found_nothing = {
        let job = ended.node()?;
        word(&job, "state") == "done" && number(&job, "done") == 0
    };
    if found_nothing { Err(nothing_matched("dead letters")) } else { print_ended(output, ended) }
}

/// Waits until a bulk job has ended.
pub async fn end(server: &Server, begun: Answer) -> Result<Answer> {
    let id = begun.node()?.get("id").and_then(Node::as_u64).context("the answer has no bulk job id")?;
    let mut job = begun;
    for asked in 1.. {
        let shown = job.node()?;
        if word(&shown, "state") != "running" {
            break;
        }
        if asked % TELL_EVERY == 0 {
            let (done, refused) = (number(&shown, "done"), number(&shown, "refused"));
            output::note(&format!("bulk job {id}: {done} done, {refused} of them refused"));
        }
        tokio::time::sleep(ASK_EVERY).await;
        job = server.get(&path(&["bulk-jobs", &id.to_string()])?).await?;
    }
    Ok(job)
}

/// Prints a bulk job that has ended.
///
/// # Errors
/// It failed, or a part of it was refused.
pub fn print_ended(output: Output, job: Answer) -> Result<()> {
    let (state, error, [id, done, refused]) = {
        let ended = job.node()?;
        let numbers = ["id", "done", "refused"].map(|name| number(&ended, name));
        (word(&ended, "state"), word(&ended, "error"), numbers)
    };
    table::print(output, &wrapped(job), "bulk_jobs", &COLUMNS)?;
    match state.as_str() {
        "failed" if error.is_empty() => bail!("bulk job {id} failed; the server does not say why"),
        "failed" => bail!("bulk job {id} failed: {error}"),
        _ if refused > 0 => Err(Failure::Refused(format!("{refused} of {done} were refused")).into()),
        _ => Ok(()),
    }
}

fn wrapped(job: Answer) -> Answer {
    Answer::listed("bulk_jobs", &[job])
}
