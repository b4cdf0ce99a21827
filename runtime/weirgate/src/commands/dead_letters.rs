//! `weirgate dead-letters`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::value::to_raw_value;
use weirgate_types::json::Node;

use super::{
    bodies, bulk_jobs,
    consent::{Consent, counted},
    decide::{Decision, nothing_matched},
    table::{self, Column},
};
use crate::{
    client::{Answer, Body, Server, path, query},
    commands::arguments::{Audit, Class, Corrected, Output, Page, moment, word},
    failure::usage,
    output,
};

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters
    List(ListDeadLetters),
    /// Show one dead letter with its event, failed attempts and the handler's state
    Show {
        /// For instance payment@42
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Reopen dead letters, with attempts counted from zero, and optionally with corrected data
    Resubmit {
        /// For instance payment@42
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        corrected: Corrected,
        #[command(flatten)]
        audit: Audit,
    },
    /// Discard dead letters
    Discard {
        /// For instance payment@42
        #[arg(required = true, value_name = "ID")]
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
    /// Only those of this handler
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// Only those of the version that failed: a digest, or its first digits
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<String>,
    /// Only failures of this class
    #[arg(long, value_enum)]
    pub class: Option<Class>,
    /// A substring of the failure's message
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// The event's type
    #[arg(long, value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Only those of this key, for instance order/o-1
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Dead letters since this time: 2026-07-01T12:00:00Z, or Unix milliseconds
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<String>,
    /// Dead letters before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<String>,
}

impl Filter {
    /// The given options, by the names of the query parameters.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let fields = [
            ("handler", self.handler.clone()),
            ("digest", self.digest.clone()),
            ("class", self.class.as_ref().map(word)),
            ("text", self.text.clone()),
            ("type", self.r#type.clone()),
            ("key", self.key.clone()),
            ("from", self.from.clone()),
            ("until", self.until.clone()),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn query(&self, page: [(&'static str, Option<String>); 2]) -> String {
        let given = self.given().into_iter().map(|(name, value)| (name, Some(value)));
        query(&given.chain(page).collect::<Vec<_>>())
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
    /// What to do with them
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
    pub consent: Consent,
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

const COLUMNS: [Column; 9] = [
    Column::of("id"),
    Column::of("key"),
    Column::of("type"),
    Column::of("class"),
    Column::of("kind"),
    Column::of("attempt"),
    Column::digest("digest"),
    Column::age("age", "at_ms"),
    Column::named("reason", "message"),
];
const NOUN: (&str, &str) = ("dead letter", "dead letters");
/// How many items a plan lists, and how many are counted at a time.
const PLANNED_MAX: usize = 20;
const PAGE: &str = "1000";

pub async fn run(server: &Server, output: Output, command: DeadLetters) -> Result<()> {
    match command {
        DeadLetters::List(list) => {
            let query = list.filter.query(list.page.parameters());
            let answer = server.get(&format!("/v1/dead-letters{query}")).await?;
            table::print(output, &answer, "dead_letters", &COLUMNS)
        }
        DeadLetters::Show { id } => table::show(output, &server.get(&path(&["dead-letters", &id])?).await?),
        DeadLetters::Resubmit { ids, corrected, audit } => {
            let body = bodies::corrected_body(&audit, &corrected)?;
            Decision { noun: "dead-letters", command: "resubmit", body }.named(server, output, &ids).await
        }
        DeadLetters::Discard { ids, audit } => {
            let body = bodies::body(&audit)?;
            Decision { noun: "dead-letters", command: "discard", body }.named(server, output, &ids).await
        }
        DeadLetters::Apply(apply) => run_apply(server, output, &apply).await,
    }
}

async fn run_apply(server: &Server, output: Output, apply: &Apply) -> Result<()> {
    let body = body(apply)?;
    apply.consent.check()?;
    let (count, first) = count(server, &apply.filter).await?;
    if count == 0 {
        return Err(nothing_matched(NOUN.1));
    }
    let what = format!("{} {}", word(&apply.command), counted(count, NOUN));
    if apply.consent.plan {
        table::print(output, &first, "dead_letters", &COLUMNS)?;
        return match output {
            Output::Json => Ok(()),
            Output::Text => output::line(&format!("plan: {what}; nothing was done")),
        };
    }
    apply.consent.ask(&what)?;
    let begun = server.post("/v1/dead-letters/bulk-jobs", &body).await?;
    bulk_jobs::wait(server, output, begun).await
}

/// How many dead letters match, and the first of them.
async fn count(server: &Server, filter: &Filter) -> Result<(usize, Answer)> {
    let page = |after, limit: &str| filter.query([("after", after), ("limit", Some(limit.to_owned()))]);
    let first = server.get(&format!("/v1/dead-letters{}", page(None, &PLANNED_MAX.to_string()))).await?;
    let (mut count, mut after) = (0, None);
    loop {
        let answer = server.get(&format!("/v1/dead-letters{}", page(after, PAGE))).await?;
        let node = answer.node()?;
        count += node.get("dead_letters").map(Node::items).unwrap_or_default().len();
        after = node.get("next").and_then(Node::as_str).map(std::borrow::Cow::into_owned);
        if after.is_none() {
            return Ok((count, first));
        }
    }
}

fn body(apply: &Apply) -> Result<Body> {
    let filter: BTreeMap<_, _> = apply.filter.given().into_iter().collect();
    if filter.is_empty() && !apply.all {
        return Err(usage("select dead letters with a filter, for instance --handler, or with --all"));
    }
    let mut body = bodies::corrected_body(&apply.audit, &apply.corrected)?;
    body.insert("filter", to_raw_value(&filter)?);
    body.insert("command", to_raw_value(&word(&apply.command))?);
    if let Some(per_second) = apply.per_second {
        body.insert("per_second", to_raw_value(&per_second)?);
    }
    Ok(body)
}
