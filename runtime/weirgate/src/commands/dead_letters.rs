//! `weirgate dead-letters`.

use anyhow::Result;
use serde_json::json;

use super::table;
use crate::{
    cli::{DeadLetters, Output},
    client::Server,
};

pub async fn run(server: &Server, output: Output, verb: DeadLetters) -> Result<()> {
    match verb {
        DeadLetters::List { handler, limit } => {
            let query = table::query(&[("handler", handler), ("limit", limit.map(|limit| limit.to_string()))]);
            let answer = server.get(&format!("/v1/dead-letters{query}")).await?;
            table::print(output, &answer, "dead_letters", &["id", "key", "class", "kind", "attempt", "message"])
        }
        DeadLetters::Resubmit { ids } => {
            let mut resubmitted = Vec::new();
            for id in ids {
                resubmitted.push(server.post(&format!("/v1/dead-letters/{id}/resubmit")).await?);
            }
            table::print(output, &json!({ "resubmitted": resubmitted }), "resubmitted", &["id"])
        }
    }
}
