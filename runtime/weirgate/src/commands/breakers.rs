//! `weirgate breakers`.

use anyhow::{Context, Result};
use clap::Subcommand;

use super::{bodies, table};
use crate::{
    client::{Answer, Server},
    commands::arguments::{Audit, Output},
};

#[derive(Debug, Subcommand)]
pub enum Breakers {
    /// List the circuit breakers of handlers and called hosts
    List,
    /// Open a breaker until it is reset; meanwhile deliveries wait without using up attempts
    Trip {
        /// For example handler/payment or host/api.example.com
        breaker: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Close a breaker
    Reset {
        /// For example handler/payment or host/api.example.com
        breaker: String,
        #[command(flatten)]
        audit: Audit,
    },
}

pub async fn run(server: &Server, output: Output, command: Breakers) -> Result<()> {
    let answer = match command {
        Breakers::List => server.get("/v1/breakers").await?,
        Breakers::Trip { breaker, audit } => set(server, &breaker, "trip", &audit).await?,
        Breakers::Reset { breaker, audit } => set(server, &breaker, "reset", &audit).await?,
    };
    table::print(output, &answer, "breakers", &["kind", "name", "state", "open_until_ms"])
}

async fn set(server: &Server, breaker: &str, command: &str, audit: &Audit) -> Result<Answer> {
    let (kind, name) = breaker.split_once('/').with_context(|| {
        format!("{breaker:?} is not a breaker; write for instance handler/payment, host/payment@api.example.com or host/api.example.com")
    })?;
    let changed = server.post(&format!("/v1/breakers/{kind}/{name}/{command}"), &bodies::body(audit)?).await?;
    Ok(Answer::listed("breakers", &[changed]))
}
