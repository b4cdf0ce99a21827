//! `weirgate attempts`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::table::{self, Column};
use crate::{
    client::{Server, query},
    commands::arguments::{Output, Page},
};

#[derive(Debug, Subcommand)]
pub enum Attempts {
    /// List finished attempts, in the order of the log
    List(List),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only attempts of this handler
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// Only attempts at deliveries of this key, for instance order/o-1
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

const COLUMNS: [Column; 8] = [
    Column::of("position"),
    Column::moment("ended", "at_ms").dropped(2),
    Column::of("delivery"),
    Column::of("key").wrapped(),
    Column::of("attempt").dropped(1),
    Column::of("outcome"),
    Column::moment("next_attempt", "next_attempt_at_ms").dropped(0),
    Column::named("reason", "failure.message").wrapped(),
];

pub async fn run(server: &Server, output: Output, command: Attempts) -> Result<()> {
    let Attempts::List(List { handler, key, page }) = command;
    let query = query(&[[("handler", handler), ("key", key)], page.parameters()].concat());
    table::print(output, &server.get(&format!("/v1/attempts{query}")).await?, "attempts", &COLUMNS)
}
