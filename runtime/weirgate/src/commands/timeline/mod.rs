//! `weirgate timeline`.

mod story;
mod words;

use anyhow::Result;
use clap::Args;
use weirgate_types::json::Node;

use super::table;
use crate::{
    client::{Server, query},
    commands::arguments::{Output, Page},
    output,
};

#[derive(Debug, Args)]
pub struct Timeline {
    /// For instance order/o-1
    #[arg(value_name = "KEY")]
    pub key: String,
    #[command(flatten)]
    pub page: Page,
}

pub async fn run(server: &Server, output: Output, command: Timeline) -> Result<()> {
    let Timeline { key, page } = command;
    let begins = page.after.is_none();
    let ask = |parameters: [(&'static str, Option<String>); 2]| {
        // In the query, because clients and proxies change paths with dots or empty parts.
        let query = query(&[vec![("key", Some(key.clone()))], parameters.to_vec()].concat());
        async move { server.get(&format!("/v1/timeline{query}")).await }
    };
    let answer = ask(page.parameters()).await?;
    let answer = answer.node()?;
    if output == Output::Json {
        return table::print_json(&answer);
    }
    // Times are relative to the beginning, which may be on another page.
    let first = if begins { None } else { Some(ask([("after", None), ("limit", Some("1".into()))]).await?) };
    let started_ms = match &first {
        Some(first) => started_ms(&first.node()?),
        None => started_ms(&answer),
    };
    let entries = answer.get("entries").map(Node::items).unwrap_or_default();
    for line in story::lines(&key, entries, started_ms.unwrap_or(0), table::width()) {
        output::line(&line)?;
    }
    match answer.get("next").filter(|next| !next.is_null()) {
        Some(next) => output::line(&format!("there are more: --after {}", next.text())),
        None => Ok(()),
    }
}

fn started_ms(answer: &Node) -> Option<u64> {
    answer.get("entries").map(Node::items).unwrap_or_default().first()?.get("at_ms")?.as_u64()
}
