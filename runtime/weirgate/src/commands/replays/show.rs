//! `weirgate replays list`, `show` and `plan`.

use anyhow::Result;
use clap::Args;

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

pub async fn plan(server: &Server, output: Output, Plan { id, page }: Plan) -> Result<()> {
    let query = query(&page.parameters());
    let answer = server.get(&format!("{}{query}", path(&["replays", &id, "plan"])?)).await?;
    if output == Output::Json {
        return table::show(output, &answer);
    }
    let node = answer.node()?;
    for plan in items(&node, "keys") {
        output::line(&word(plan, "key"))?;
        for line in words::plan(plan) {
            output::marked(line.mark, &line.text)?;
        }
    }
    output::line(&format!("plan {}", word(&node, "plan")))?;
    table::print_next(&node)
}
