//! `weirgate deliveries`.

use anyhow::Result;

use super::table;
use crate::{
    cli::{Deliveries, Output},
    client::Server,
};

pub async fn run(server: &Server, output: Output, verb: Deliveries) -> Result<()> {
    let Deliveries::List { handler, key, state, limit } = verb;
    let limit = limit.map(|limit| limit.to_string());
    let query = table::query(&[("handler", handler), ("key", key), ("state", state), ("limit", limit)]);
    let answer = server.get(&format!("/v1/deliveries{query}")).await?;
    table::print(output, &answer, "deliveries", &["id", "state", "attempt", "next_attempt_at_ms", "behind"])
}
