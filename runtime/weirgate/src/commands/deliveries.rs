//! `weirgate deliveries`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use weirgate_types::json::Node;

use super::{bodies, events, table};
use crate::{
    client::{Answer, Body, Server},
    commands::arguments::{Audit, Corrected, Output, Page},
};

#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List open deliveries
    List(ListDeliveries),
    /// Show one delivery with its event and failed attempts
    Show {
        /// For instance payment@42
        id: String,
    },
    /// List deliveries that block others
    Blocked(Blocked),
    /// Retry deliveries now, with attempts counted from zero
    Retry {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Retry a delivery with corrected data, with attempts counted from zero
    Correct {
        /// For instance payment@42
        id: String,
        #[command(flatten)]
        corrected: Corrected,
        #[command(flatten)]
        audit: Audit,
    },
    /// Skip deliveries: close them without effects
    Skip {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Make open deliveries dead letters
    DeadLetter {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Discard dead letters
    Discard {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Resolve a delivery: close it and emit the given events
    Resolve(Resolve),
}

#[derive(Debug, Args)]
pub struct ListDeliveries {
    #[arg(long)]
    pub handler: Option<String>,
    #[arg(long)]
    pub key: Option<String>,
    /// ready, running, retrying, blocked, awaiting-correction, held or out-of-order
    #[arg(long)]
    pub state: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Debug, Args)]
pub struct Blocked {
    #[arg(long)]
    pub handler: Option<String>,
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Resolve {
    /// For instance payment@42
    pub id: String,
    /// A JSON file with a `CloudEvent` or an array of them; `-` reads standard input. Without events, the delivery is only closed
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    #[command(flatten)]
    pub audit: Audit,
}

const COLUMNS: [&str; 7] = ["id", "key", "type", "state", "attempt", "next_attempt_at_ms", "behind"];

pub async fn run(server: &Server, output: Output, command: Deliveries) -> Result<()> {
    let (ids, word, body) = match command {
        Deliveries::List(list) => return print_list(server, output, list).await,
        Deliveries::Show { id } => {
            return table::show(output, &server.get(&format!("/v1/deliveries/{id}")).await?);
        }
        Deliveries::Blocked(blocked) => {
            let limit = blocked.limit.map(|limit| limit.to_string());
            let query = table::query(&[("handler", blocked.handler), ("limit", limit)]);
            let answer = server.get(&format!("/v1/blocked{query}")).await?;
            table::print(output, &answer, "blocked", &["id", "key", "state", "next_attempt_at_ms", "behind"])?;
            return if output == Output::Text { print_hints(&answer) } else { Ok(()) };
        }
        Deliveries::Retry { ids, audit } => (ids, "retry", bodies::body(&audit)?),
        Deliveries::Correct { id, corrected, audit } => {
            (vec![id], "correct", bodies::corrected_body(&audit, &corrected)?)
        }
        Deliveries::Skip { ids, audit } => (ids, "skip", bodies::body(&audit)?),
        Deliveries::DeadLetter { ids, audit } => (ids, "dead-letter", bodies::body(&audit)?),
        Deliveries::Discard { ids, audit } => (ids, "discard", bodies::body(&audit)?),
        Deliveries::Resolve(resolve) => {
            let body = resolution(&resolve)?;
            (vec![resolve.id], "resolve", body)
        }
    };
    post_command(server, output, "deliveries", &ids, word, &body).await
}

/// Names the deliveries that may be waiting for themselves.
fn print_hints(answer: &Answer) -> Result<()> {
    let answer = answer.node()?;
    for blocked in answer.get("blocked").map(Node::items).unwrap_or_default() {
        let word = |name: &str| blocked.get(name).and_then(Node::as_str);
        if let (Some(id), Some(hint)) = (word("id"), word("hint")) {
            eprintln!("hint: {id}: {hint}");
        }
    }
    Ok(())
}

/// Sends the command for each in turn, and prints the results. Stops at the first refusal.
pub async fn post_command(
    server: &Server,
    output: Output,
    noun: &str,
    ids: &[String],
    command: &str,
    body: &Body,
) -> Result<()> {
    let mut answers = Vec::new();
    for id in ids {
        answers.push(server.post(&format!("/v1/{noun}/{id}/{command}"), body).await?);
    }
    table::print(output, &Answer::listed("decided", &answers), "decided", &["id", "position", "diff"])
}

async fn print_list(server: &Server, output: Output, list: ListDeliveries) -> Result<()> {
    let ListDeliveries { handler, key, state, page } = list;
    let [after, limit] = page.parameters();
    let query = table::query(&[("handler", handler), ("key", key), ("state", state), after, limit]);
    let answer = server.get(&format!("/v1/deliveries{query}")).await?;
    table::print(output, &answer, "deliveries", &COLUMNS)
}

fn resolution(resolve: &Resolve) -> Result<Body> {
    let mut body = bodies::body(&resolve.audit)?;
    if let Some(file) = &resolve.events {
        let events = events::read(file)?;
        let listed = if events::is_list(&events) { events } else { format!("[{events}]") };
        body.insert("events", bodies::raw(&listed)?);
    }
    Ok(body)
}
