//! `weirgate dead-letters`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::value::to_raw_value;

use super::{bodies, bulk_jobs, deliveries::post_command, table};
use crate::{
    client::{Body, Server},
    commands::arguments::{Audit, Corrected, Output, Page},
};

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters
    List(ListDeadLetters),
    /// Show one dead letter with its event, failed attempts and the handler's state
    Show {
        /// For instance payment@42
        id: String,
    },
    /// Reopen dead letters, with attempts counted from zero, and optionally with corrected data
    Resubmit {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        corrected: Corrected,
        #[command(flatten)]
        audit: Audit,
    },
    /// Discard dead letters
    Discard {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Run a command for all matching dead letters, and wait until it is done
    Apply(Apply),
}

/// Filter of dead letters; absent fields match all.
#[derive(Debug, Clone, Args)]
pub struct Filter {
    #[arg(long)]
    pub handler: Option<String>,
    /// The version that failed
    #[arg(long)]
    pub digest: Option<String>,
    /// transient, correctable or permanent
    #[arg(long)]
    pub class: Option<String>,
    /// A substring of the failure's message
    #[arg(long)]
    pub text: Option<String>,
    /// The event's type
    #[arg(long)]
    pub r#type: Option<String>,
    #[arg(long)]
    pub key: Option<String>,
    /// Dead letters since this time: 2026-07-01T12:00:00Z, or Unix milliseconds
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Dead letters before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

impl Filter {
    /// The given options, by the names of the query parameters.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let fields = [
            ("handler", &self.handler),
            ("digest", &self.digest),
            ("class", &self.class),
            ("text", &self.text),
            ("type", &self.r#type),
            ("key", &self.key),
            ("from", &self.from),
            ("until", &self.until),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

#[derive(Debug, Args)]
pub struct ListDeadLetters {
    #[command(flatten)]
    pub filter: Filter,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Debug, Args)]
pub struct Apply {
    #[arg(long, value_enum)]
    pub command: BulkCommand,
    #[command(flatten)]
    pub filter: Filter,
    /// All dead letters, if no filter is given
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub corrected: Corrected,
    /// The maximum per second
    #[arg(long, value_name = "NUMBER")]
    pub per_second: Option<u32>,
    #[command(flatten)]
    pub audit: Audit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BulkCommand {
    /// Reopen them
    Retry,
    /// Reopen them with other data
    Correct,
    /// Close them without effects
    Skip,
    /// Close them as resolved: the work was done elsewhere
    Resolve,
    /// Discard them
    Discard,
}

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
    parameters.extend(list.page.clone().parameters());
    table::query(&parameters)
}

fn body(apply: &Apply) -> Result<Body> {
    let filter: BTreeMap<_, _> = apply.filter.given().collect();
    if filter.is_empty() && !apply.all {
        bail!("select dead letters with a filter, for instance --handler, or with --all");
    }
    let mut body = bodies::corrected_body(&apply.audit, &apply.corrected)?;
    body.insert("filter", to_raw_value(&filter)?);
    body.insert("command", to_raw_value(&word(apply))?);
    if let Some(per_second) = apply.per_second {
        body.insert("per_second", to_raw_value(&per_second)?);
    }
    Ok(body)
}

/// The command's name, the same here and in the endpoints.
fn word(apply: &Apply) -> String {
    use clap::ValueEnum as _;
    apply.command.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
