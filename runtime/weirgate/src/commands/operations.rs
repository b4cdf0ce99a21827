//! `weirgate operations`, and waiting for one to end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::table;
use crate::{
    cli::{Operations, Output},
    client::Server,
};

const COLUMNS: [&str; 7] = ["id", "verb", "state", "done", "refused", "by", "why"];
/// How often a waiting command asks, and after how many questions it says how far things are.
const ASK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: u32 = 10;

pub async fn run(server: &Server, output: Output, verb: Operations) -> Result<()> {
    let answer = match verb {
        Operations::List => server.get("/v1/operations").await?,
        Operations::Show { id } => wrapped(&server.get(&format!("/v1/operations/{id}")).await?),
        Operations::Cancel { id } => wrapped(&server.post(&format!("/v1/operations/{id}/cancel"), Map::new()).await?),
    };
    table::print(output, &answer, "operations", &COLUMNS)
}

/// Print an operation when it has ended; meanwhile say how far it is, on standard error.
pub async fn wait(server: &Server, output: Output, begun: Value) -> Result<()> {
    let id = begun.get("id").and_then(Value::as_u64).context("the server names no operation")?;
    let mut operation = begun;
    for asked in 1.. {
        if state(&operation) != "running" {
            break;
        }
        if asked % TELL_EVERY == 0 {
            let count = |name: &str| operation.get(name).and_then(Value::as_u64).unwrap_or(0);
            eprintln!("operation {id}: {} done, {} of them refused", count("done"), count("refused"));
        }
        tokio::time::sleep(ASK_EVERY).await;
        operation = server.get(&format!("/v1/operations/{id}")).await?;
    }
    table::print(output, &wrapped(&operation), "operations", &COLUMNS)?;
    if state(&operation) == "failed" {
        let why = operation.get("error").and_then(Value::as_str).unwrap_or("the server does not say why");
        bail!("operation {id} failed: {why}");
    }
    Ok(())
}

fn state(operation: &Value) -> &str {
    operation.get("state").and_then(Value::as_str).unwrap_or_default()
}

fn wrapped(operation: &Value) -> Value {
    json!({ "operations": [operation] })
}
