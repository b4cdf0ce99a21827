//! `weirgate replays list` and `show`.

use anyhow::Result;
use clap::Args;

use crate::{
    client::{Server, path, query},
    commands::{
        arguments::{Output, Page},
        table::{self, Column},
    },
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
