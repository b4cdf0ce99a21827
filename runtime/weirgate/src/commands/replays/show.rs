//! `weirgate replays list`, `show` and `plan`.

use anyhow::Result;
use clap::Args;
use weirgate_types::json::Node;

use super::words;
use crate::{
    client::{Server, path, query},
    commands::{
        arguments::{Output, Page},
        members::{items, word},
        table::{self, Column},
    },
    output,
};

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    pub page: Page,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub page: Page,
}

pub const COLUMNS: [Column; 9] = [
    Column::of("id"),
    Column::of("handler"),
    Column::of("state"),
    Column::named("keys", "found.keys"),
    Column::named("planned", "found.planned_keys").dropped(2),
    Column::of("repaired"),
    Column::age("age", "asked_at_ms").dropped(1),
    Column::of("actor").dropped(0),
    Column::of("reason").wrapped(),
];

pub async fn list(server: &Server, output: Output, command: List) -> Result<()> {
    let query = query(&command.page.parameters());
    table::print(output, &server.get(&format!("/v1/replays{query}")).await?, "replays", &COLUMNS)
}

pub async fn show(server: &Server, output: Output, command: &Show) -> Result<()> {
    table::show(output, &server.get(&path(&["replays", &command.id])?).await?)
}

/// The keys of a plan, with what is done for each.
fn print_keys(plan: &Node) -> Result<()> {
    for plan in items(plan, "keys") {
        output::line(&word(plan, "key"))?;
        for line in words::plan(plan) {
            output::marked(line.mark, &line.text)?;
        }
    }
    Ok(())
}

pub async fn plan(server: &Server, output: Output, Plan { id, page }: Plan) -> Result<()> {
    let (path, limit) = (path(&["replays", &id, "plan"])?, page.limit.map(|limit| limit.to_string()));
    let answer = server.get(&format!("{path}{}", query(&page.parameters()))).await?;
    if output == Output::Json {
        return table::show(output, &answer);
    }
    let node = answer.node()?;
    print_keys(&node)?;
    for receiver in items(&node, "receivers").iter().filter_map(Node::as_str) {
        let parameters = [("receiver", Some(receiver.to_string())), ("limit", limit.clone())];
        let answer = server.get(&format!("{path}{}", query(&parameters))).await?;
        output::line(&format!("{receiver}, only if that is approved (--fold-again {receiver}):"))?;
        print_keys(&answer.node()?)?;
    }
    output::line(&format!("plan {}", word(&node, "plan")))?;
    table::print_next(&node)
}
