//! `weirgate operations`, and waiting for one to end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use weirgate_types::json::Node;

use super::{Body, table};
use crate::{
    cli::{Operations, Output},
    client::{Answer, Server},
};

const COLUMNS: [&str; 7] = ["id", "command", "state", "done", "refused", "actor", "reason"];
/// How often a waiting command asks, and after how many questions it says how far things are.
const ASK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: u32 = 10;

pub async fn run(server: &Server, output: Output, command: Operations) -> Result<()> {
    let answer = match command {
        Operations::List => server.get("/v1/operations").await?,
        Operations::Show { id } => wrapped(server.get(&format!("/v1/operations/{id}")).await?),
        Operations::Cancel { id } => wrapped(server.post(&format!("/v1/operations/{id}/cancel"), &Body::new()).await?),
    };
    table::print(output, &answer, "operations", &COLUMNS)
}

/// Print an operation when it has ended; meanwhile say how far it is, on standard error.
pub async fn wait(server: &Server, output: Output, begun: Answer) -> Result<()> {
    let id = begun.node()?.get("id").and_then(Node::as_u64).context("the server names no operation")?;
    let mut operation = begun;
    for asked in 1.. {
        let shown = operation.node()?;
        if word(&shown, "state") != "running" {
            break;
        }
        if asked % TELL_EVERY == 0 {
            let count = |name: &str| shown.get(name).and_then(Node::as_u64).unwrap_or(0);
            eprintln!("operation {id}: {} done, {} of them refused", count("done"), count("refused"));
        }
        tokio::time::sleep(ASK_EVERY).await;
        operation = server.get(&format!("/v1/operations/{id}")).await?;
    }
    let ended = operation.node()?;
    let failure = (word(&ended, "state") == "failed").then(|| match word(&ended, "error") {
        reason if reason.is_empty() => "the server does not say why".to_owned(),
        reason => reason,
    });
    table::print(output, &wrapped(operation), "operations", &COLUMNS)?;
    match failure {
        Some(reason) => bail!("operation {id} failed: {reason}"),
        None => Ok(()),
    }
}

fn word(operation: &Node, name: &str) -> String {
    operation.get(name).and_then(Node::as_str).unwrap_or_default().into_owned()
}

fn wrapped(operation: Answer) -> Answer {
    Answer::listed("operations", &[operation])
}
