//! `weirgate breakers`.

use anyhow::Result;
use clap::Subcommand;

use super::{
    bodies,
    table::{self, Column},
};
use crate::{
    client::{Answer, Server, path},
    commands::arguments::{Audit, Output},
    failure::usage,
};

#[derive(Debug, Subcommand)]
pub enum Breakers {
    /// List the circuit breakers of handlers and called hosts
    List,
    /// Open a breaker until it is reset; meanwhile deliveries wait without using up attempts
    Trip {
        /// For example handler/payment or host/api.example.com
        #[arg(value_name = "BREAKER")]
        breaker: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Close a breaker
    Reset {
        /// For example handler/payment or host/api.example.com
        #[arg(value_name = "BREAKER")]
        breaker: String,
        #[command(flatten)]
        audit: Audit,
    },
}

const COLUMNS: [Column; 6] = [
    Column::of("kind"),
    Column::of("name"),
    Column::of("state"),
    Column::moment("open_until", "open_until_ms").dropped(0),
    Column::age("since", "changed_at_ms").dropped(1),
    Column::of("reason").wrapped(),
];

pub async fn run(server: &Server, output: Output, command: Breakers) -> Result<()> {
    let answer = match command {
        Breakers::List => server.list("/v1/breakers", "breakers").await?,
        Breakers::Trip { breaker, audit } => set(server, &breaker, "trip", &audit).await?,
        Breakers::Reset { breaker, audit } => set(server, &breaker, "reset", &audit).await?,
    };
    table::print(output, &answer, "breakers", &COLUMNS)
}

async fn set(server: &Server, breaker: &str, command: &str, audit: &Audit) -> Result<Answer> {
    let Some((kind, name)) = breaker.split_once('/') else {
        return Err(usage(format!(
            "{breaker:?} is not a breaker; write for instance handler/payment, host/payment@api.example.com or host/api.example.com"
        )));
    };
    let changed = server.post(&path(&["breakers", kind, name, command])?, &bodies::body(audit)?).await?;
    Ok(Answer::listed("breakers", &[changed]))
}
