//! `weirgate deliveries`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use weirgate_types::json::Node;

use super::{
    bodies, decide,
    decide::Decision,
    events,
    table::{self, Column},
};
use crate::{
    client::{Answer, Body, Server, path, query},
    commands::{
        arguments::{Audit, Corrected, Output, Page, word},
        consent::Consent,
    },
    output,
};

#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List open deliveries
    List(ListDeliveries),
    /// Show one delivery with its event and failed attempts
    Show {
        /// For instance payment@42
        #[arg(value_name = "ID")]
        id: String,
    },
    /// List deliveries that block others
    Blocked(Blocked),
    /// Retry deliveries now, with attempts counted from zero
    Retry(Decide),
    /// Retry a delivery with corrected data, with attempts counted from zero
    Correct {
        /// For instance payment@42
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        corrected: Corrected,
        #[command(flatten)]
        audit: Audit,
    },
    /// Skip deliveries: close them without effects
    Skip(Decide),
    /// Make open deliveries dead letters
    DeadLetter(Decide),
    /// Discard dead letters
    Discard {
        /// For instance payment@42
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Resolve a delivery: close it and emit the given events
    Resolve(Resolve),
}

/// The state of an open delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// First of its key, waiting for a free slot
    Ready,
    /// Being attempted
    Running,
    /// Waiting for its next attempt
    Retrying,
    /// Behind an earlier delivery of its key
    Blocked,
    /// Waiting for corrected data
    AwaitingCorrection,
    /// A dead letter that its key waits for
    Held,
    /// Earlier numbers of its sequence are missing
    OutOfOrder,
}

/// Filter of open deliveries; absent fields match all.
#[derive(Debug, Clone, Default, Args)]
pub struct DeliveryFilter {
    /// Only those of this handler
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// Only those of this key, for instance order/o-1
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only those in this state
    #[arg(long, value_enum)]
    pub state: Option<State>,
}

impl DeliveryFilter {
    pub fn is_empty(&self) -> bool {
        self.handler.is_none() && self.key.is_none() && self.state.is_none()
    }

    /// The query parameters.
    pub fn parameters(&self) -> [(&'static str, Option<String>); 3] {
        [("handler", self.handler.clone()), ("key", self.key.clone()), ("state", self.state.as_ref().map(word))]
    }
}

#[derive(Debug, Args)]
pub struct ListDeliveries {
    #[command(flatten)]
    pub filter: DeliveryFilter,
    #[command(flatten)]
    pub page: Page,
}

/// Which deliveries a command is for, and who gives it.
#[derive(Debug, Args)]
pub struct Decide {
    /// For instance payment@42; or select with --handler, --key and --state, or with --all
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: DeliveryFilter,
    /// All open deliveries
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub audit: Audit,
}

#[derive(Debug, Args)]
pub struct Blocked {
    /// Only those of this handler
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Debug, Args)]
pub struct Resolve {
    /// For instance payment@42
    #[arg(value_name = "ID")]
    pub id: String,
    /// A JSON file with a `CloudEvent` or an array of them; `-` reads standard input. Without events, the delivery is only closed
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    #[command(flatten)]
    pub audit: Audit,
}

pub const COLUMNS: [Column; 9] = [
    Column::of("id"),
    Column::of("key").wrapped(),
    Column::of("type").dropped(4),
    Column::of("state"),
    Column::of("attempt").dropped(2),
    Column::age("age", "accepted_at_ms").dropped(3),
    Column::moment("next_attempt", "next_attempt_at_ms").dropped(1),
    Column::of("behind").dropped(0),
    Column::named("reason", "message").wrapped(),
];
const BLOCKED_COLUMNS: [Column; 7] = [
    Column::of("id"),
    Column::of("key").wrapped(),
    Column::of("state"),
    Column::age("age", "accepted_at_ms").dropped(3),
    Column::moment("next_attempt", "next_attempt_at_ms").dropped(1),
    Column::of("behind").dropped(0),
    Column::named("reason", "message").wrapped(),
];

pub async fn run(server: &Server, output: Output, command: Deliveries) -> Result<()> {
    match command {
        Deliveries::List(list) => print_list(server, output, list).await,
        Deliveries::Show { id } => table::show(output, &server.get(&path(&["deliveries", &id])?).await?),
        Deliveries::Blocked(blocked) => print_blocked(server, output, blocked).await,
        Deliveries::Retry(selected) => decide::selected(server, output, "retry", selected).await,
        Deliveries::Skip(selected) => decide::selected(server, output, "skip", selected).await,
        Deliveries::DeadLetter(selected) => decide::selected(server, output, "dead-letter", selected).await,
        Deliveries::Correct { id, corrected, audit } => {
            let body = bodies::corrected_body(&audit, &corrected)?;
            Decision { noun: "deliveries", command: "correct", body }.named(server, output, &[id]).await
        }
        Deliveries::Discard { ids, audit } => {
            let body = bodies::body(&audit)?;
            Decision { noun: "deliveries", command: "discard", body }.named(server, output, &ids).await
        }
        Deliveries::Resolve(resolve) => {
            let body = resolution(&resolve)?;
            Decision { noun: "deliveries", command: "resolve", body }.named(server, output, &[resolve.id]).await
        }
    }
}

async fn print_list(server: &Server, output: Output, list: ListDeliveries) -> Result<()> {
    let query = query(&[list.filter.parameters().as_slice(), &list.page.parameters()].concat());
    let answer = server.get(&format!("/v1/deliveries{query}")).await?;
    table::print(output, &answer, "deliveries", &COLUMNS)
}

async fn print_blocked(server: &Server, output: Output, blocked: Blocked) -> Result<()> {
    let [after, limit] = blocked.page.parameters();
    let query = query(&[("handler", blocked.handler), after, limit]);
    let answer = server.get(&format!("/v1/blocked{query}")).await?;
    table::print(output, &answer, "blocked", &BLOCKED_COLUMNS)?;
    if let (Output::Text, Some(examined)) = (output, examined_only(&answer)?) {
        output::line(&format!(
            "only the first {examined} open deliveries were examined: more may be blocked; --handler NAME examines those of one handler"
        ))?;
    }
    if output == Output::Text { print_hints(&answer) } else { Ok(()) }
}

/// The number of examined deliveries, if there are more.
fn examined_only(answer: &Answer) -> Result<Option<u64>> {
    let answer = answer.node()?;
    let is_complete = answer.get("complete").is_none_or(|complete| complete.text() == "true");
    Ok(answer.get("examined").and_then(Node::as_u64).filter(|_| !is_complete))
}

/// Names the deliveries that may be waiting for themselves.
fn print_hints(answer: &Answer) -> Result<()> {
    let answer = answer.node()?;
    for blocked in answer.get("blocked").map(Node::items).unwrap_or_default() {
        let word = |name: &str| blocked.get(name).and_then(Node::as_str);
        if let (Some(id), Some(hint)) = (word("id"), word("hint")) {
            output::note(&format!("hint: {id}: {hint}"));
        }
    }
    Ok(())
}

fn resolution(resolve: &Resolve) -> Result<Body> {
    let mut body = bodies::body(&resolve.audit)?;
    if let Some(file) = &resolve.events {
        let events = events::read(file)?;
        let listed = if events::is_list(&events) { events } else { format!("[{events}]") };
        body.insert("events", bodies::raw(&listed, "the events")?);
    }
    Ok(body)
}
