//! `weirgate dead-letters`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::value::to_raw_value;

use super::{Body, bodies, bulk_jobs, deliveries::post_command, table};
use crate::{
    cli::{Apply, DeadLetters, ListDeadLetters, Output},
    client::Server,
};

const COLUMNS: [&str; 7] = ["id", "key", "type", "class", "kind", "attempt", "message"];

pub async fn run(server: &Server, output: Output, command: DeadLetters) -> Result<()> {
    match command {
        DeadLetters::List(list) => {
            let answer = server.get(&format!("/v1/dead-letters{}", query(&list))).await?;
            table::print(output, &answer, "dead_letters", &COLUMNS)
        }
        DeadLetters::Show { id } => table::show(output, &server.get(&format!("/v1/dead-letters/{id}")).await?),
        DeadLetters::Resubmit { ids, corrected, audit } => {
            let body = bodies::corrected_body(&audit, &corrected)?;
            post_command(server, output, "dead-letters", &ids, "resubmit", &body).await
        }
        DeadLetters::Discard { ids, audit } => {
            post_command(server, output, "dead-letters", &ids, "discard", &bodies::body(&audit)?).await
        }
        DeadLetters::Apply(apply) => {
            let begun = server.post("/v1/dead-letters/bulk-jobs", &body(&apply)?).await?;
            bulk_jobs::wait(server, output, begun).await
        }
    }
}

fn query(list: &ListDeadLetters) -> String {
    let mut parameters: Vec<_> = list.filter.given().map(|(name, value)| (name, Some(value.clone()))).collect();
    parameters.push(("after", list.after.clone()));
    parameters.push(("limit", list.limit.map(|limit| limit.to_string())));
    table::query(&parameters)
}

fn body(apply: &Apply) -> Result<Body> {
    let filter: BTreeMap<_, _> = apply.filter.given().collect();
    if filter.is_empty() && !apply.all {
        bail!("say which dead letters, for instance with --handler, or --all");
    }
    let mut body = bodies::corrected_body(&apply.audit, &apply.corrected)?;
    body.insert("filter", to_raw_value(&filter)?);
    body.insert("command", to_raw_value(&word(apply))?);
    if let Some(per_second) = apply.per_second {
        body.insert("per_second", to_raw_value(&per_second)?);
    }
    Ok(body)
}

/// The command as it is written here, which is as the endpoints write it.
fn word(apply: &Apply) -> String {
    use clap::ValueEnum as _;
    apply.command.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
