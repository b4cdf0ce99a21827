//! `weirgate bulk-jobs`, and waiting for one to end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use weirgate_types::json::Node;

use super::table;
use crate::{
    client::{Answer, Body, Server},
    commands::arguments::Output,
};

#[derive(Debug, Subcommand)]
pub enum BulkJobs {
    /// List the newest bulk jobs since the server started
    List,
    /// Show the progress of a bulk job
    Show { id: u64 },
    /// Cancel a bulk job; its completed commands remain in effect
    Cancel { id: u64 },
}

const COLUMNS: [&str; 7] = ["id", "command", "state", "done", "refused", "actor", "reason"];
/// Interval between polls of a waiting command, and number of polls between progress messages.
const ASK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: u32 = 10;

pub async fn run(server: &Server, output: Output, command: BulkJobs) -> Result<()> {
    let answer = match command {
        BulkJobs::List => server.get("/v1/bulk-jobs").await?,
        BulkJobs::Show { id } => wrapped(server.get(&format!("/v1/bulk-jobs/{id}")).await?),
        BulkJobs::Cancel { id } => wrapped(server.post(&format!("/v1/bulk-jobs/{id}/cancel"), &Body::new()).await?),
    };
    table::print(output, &answer, "bulk_jobs", &COLUMNS)
}

/// Prints a bulk job when it has ended; meanwhile prints its progress on standard error.
pub async fn wait(server: &Server, output: Output, begun: Answer) -> Result<()> {
    let id = begun.node()?.get("id").and_then(Node::as_u64).context("the answer has no bulk job id")?;
    let mut job = begun;
    for asked in 1.. {
        let shown = job.node()?;
        if word(&shown, "state") != "running" {
            break;
        }
        if asked % TELL_EVERY == 0 {
            let count = |name: &str| shown.get(name).and_then(Node::as_u64).unwrap_or(0);
            eprintln!("bulk job {id}: {} done, {} of them refused", count("done"), count("refused"));
        }
        tokio::time::sleep(ASK_EVERY).await;
        job = server.get(&format!("/v1/bulk-jobs/{id}")).await?;
    }
    let ended = job.node()?;
    let failure = (word(&ended, "state") == "failed").then(|| match word(&ended, "error") {
        reason if reason.is_empty() => "the server does not say why".to_owned(),
        reason => reason,
    });
    table::print(output, &wrapped(job), "bulk_jobs", &COLUMNS)?;
    match failure {
        Some(reason) => bail!("bulk job {id} failed: {reason}"),
        None => Ok(()),
    }
}

fn word(job: &Node, name: &str) -> String {
    job.get(name).and_then(Node::as_str).unwrap_or_default().into_owned()
}

fn wrapped(job: Answer) -> Answer {
    Answer::listed("bulk_jobs", &[job])
}
