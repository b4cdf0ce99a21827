//! `weirgate events list`, `show` and `tail`: reading events of the log.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact};

use super::table::{self, Column};
use crate::{
    client::{Answer, Server, path, query},
    commands::arguments::{Output, Page, whole},
    failure::Failure,
    output,
};

/// How long to wait before the log is asked for more.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// Filter of events; absent fields match all.
#[derive(Debug, Clone, Args)]
pub struct EventFilter {
    /// Only events of this key, for instance order/o-1
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only events of this type
    #[arg(long, value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Only events of this source
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
}

impl EventFilter {
    fn parameters(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("key", self.key.clone()), ("type", self.r#type.clone()), ("source", self.source.clone())]
    }
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    pub filter: EventFilter,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The event's position in the log
    #[arg(value_name = "POSITION", value_parser = whole::<u64>, required_unless_present = "id", conflicts_with_all = ["source", "id"])]
    pub position: Option<u64>,
    /// The event's source, with --id
    #[arg(long, value_name = "SOURCE", requires = "id")]
    pub source: Option<String>,
    /// The event's id, with --source
    #[arg(long, value_name = "ID", requires = "source")]
    pub id: Option<String>,
}

#[derive(Debug, Args)]
pub struct Tail {
    #[command(flatten)]
    pub filter: EventFilter,
    /// Begin after this position; default: the end of the log
    #[arg(long, value_name = "POSITION", value_parser = whole::<u64>)]
    pub after: Option<u64>,
}

const COLUMNS: [Column; 6] = [
    Column::of("position"),
    Column::moment("accepted", "at_ms").dropped(0),
    Column::named("type", "event.type").wrapped(),
    Column::of("key").wrapped(),
    Column::named("source", "event.source").wrapped(),
    Column::named("id", "event.id"),
];

pub async fn list(server: &Server, output: Output, list: List) -> Result<()> {
    let query = query(&[list.filter.parameters(), list.page.parameters().to_vec()].concat());
    table::print(output, &server.get(&format!("/v1/events{query}")).await?, "events", &COLUMNS)
}

pub async fn show(server: &Server, output: Output, show: Show) -> Result<()> {
    if let Some(position) = show.position {
        return table::show(output, &server.get(&path(&["events", &position.to_string()])?).await?);
    }
    let query = query(&[("source", show.source.clone()), ("id", show.id.clone())]);
    let answer = server.get(&format!("/v1/events{query}")).await?;
    let (source, id) = (show.source.unwrap_or_default(), show.id.unwrap_or_default());
    let missing = || Failure::NotFound(format!("no event has the source {source:?} and the id {id:?}"));
    let node = answer.node()?;
    let found = node.get("events").map(Node::items).unwrap_or_default().first().ok_or_else(missing)?;
    table::show(output, &Answer::of(found))
}

/// Prints events as they come, until the reader or the server has gone.
pub async fn tail(server: &Server, output: Output, tail: Tail) -> Result<()> {
    let mut after = match tail.after {
        Some(after) => after,
        None => number(&server.get("/v1/events?limit=1").await?.node()?, "head")?,
    };
    let mut reader_gone = std::pin::pin!(output::reader_gone());
    loop {
        let page = vec![("after", Some(after.to_string()))];
        let answer = server.get(&format!("/v1/events{}", query(&[tail.filter.parameters(), page].concat()))).await?;
        let node = answer.node()?;
        let events = node.get("events").map(Node::items).unwrap_or_default();
        match output {
            Output::Text => table::print_more(events, &COLUMNS)?,
            Output::Json => {
                events.iter().try_for_each(|event| output::json(&compact(event.text(), SHOWN_DEPTH_MAX)?))?;
            }
        }
        let (through, head) = (number(&node, "next_after")?, number(&node, "head")?);
        after = after.max(through);
        if after >= head {
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                closed = &mut reader_gone => return Err(closed),
            }
        }
    }
}

fn number(answer: &Node, name: &str) -> Result<u64> {
    answer.get(name).and_then(Node::as_u64).with_context(|| format!("the answer lacks {name}"))
}
