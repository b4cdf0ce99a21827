//! `weirgate breakers`.

use anyhow::{Context, Result};

use super::{said, table};
use crate::{
    cli::{Breakers, Output, Said},
    client::{Answer, Server},
};

pub async fn run(server: &Server, output: Output, verb: Breakers) -> Result<()> {
    let answer = match verb {
        Breakers::List => server.get("/v1/breakers").await?,
        Breakers::Trip { breaker, said } => set(server, &breaker, "trip", &said).await?,
        Breakers::Reset { breaker, said } => set(server, &breaker, "reset", &said).await?,
    };
    table::print(output, &answer, "breakers", &["kind", "name", "state", "open_until_ms"])
}

async fn set(server: &Server, breaker: &str, verb: &str, said: &Said) -> Result<Answer> {
    let (kind, name) = breaker.split_once('/').with_context(|| {
        format!("{breaker:?} is no breaker; write for instance handler/payment, host/payment@api.example.com or host/api.example.com")
    })?;
    let changed = server.post(&format!("/v1/breakers/{kind}/{name}/{verb}"), &said::body(said)?).await?;
    Ok(Answer::listed("breakers", &[changed]))
}
