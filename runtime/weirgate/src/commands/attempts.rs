//! `weirgate attempts`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::table::{self, Column};
use crate::{
    client::{Server, query},
    commands::arguments::Output,
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
    /// Only attempts at deliveries of this key
    #[arg(long)]
    pub key: Option<String>,
    /// Only attempts whose record is after this position
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
    /// Maximum number of attempts
    #[arg(long)]
    pub limit: Option<usize>,
}

const COLUMNS: [Column; 6] = [
    Column::of("position"),
    Column::of("delivery"),
    Column::of("key"),
    Column::of("attempt"),
    Column::of("outcome"),
    Column::moment("next attempt", "next_attempt_at_ms"),
];

pub async fn run(server: &Server, output: Output, command: Attempts) -> Result<()> {
    let Attempts::List(List { handler, key, after, limit }) = command;
    let (after, limit) = (after.map(|after| after.to_string()), limit.map(|limit| limit.to_string()));
    let query = query(&[("handler", handler), ("key", key), ("after", after), ("limit", limit)]);
    table::print(output, &server.get(&format!("/v1/attempts{query}")).await?, "attempts", &COLUMNS)
}
