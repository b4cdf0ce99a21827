//! `weirgate dead-letters`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use weirgate_types::json::Node;

use super::{
    bodies, bulk_jobs,
    consent::{Consent, counted},
    decide::{Decision, nothing_matched},
    table::{self, Column},
};
use crate::{
    client::{Answer, Body, Server, path, query},
    commands::arguments::{Audit, Class, Corrected, Output, Page, moment, whole, word},
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
    /// Only those that were dead letters at this position of the log, for instance those that a plan has shown
    #[arg(long, value_name = "POSITION", value_parser = whole::<u64>)]
    pub through: Option<u64>,
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
            ("through", self.through.map(|position| position.to_string())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The filter in the body of a bulk job.
    fn body(&self) -> Result<Box<RawValue>> {
        let texts = self.given().into_iter().filter(|(name, _)| *name != "through");
        let mut fields: BTreeMap<_, _> = texts.map(|(name, text)| (name, Value::from(text))).collect();
        fields.extend(self.through.map(|position| ("through", Value::from(position))));
        Ok(to_raw_value(&fields)?)
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
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u32>)]
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
    Column::of("key").wrapped(),
    Column::of("type").dropped(4),
    Column::of("class").dropped(3),
    Column::of("kind").dropped(1),
    Column::of("attempt").dropped(0),
    Column::digest("digest").dropped(2),
    Column::age("age", "at_ms").dropped(5),
    Column::named("reason", "message").wrapped(),
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
    let mut body = body(apply)?;
    apply.consent.check()?;
    let Counted { count, first, filter } = count(server, &apply.filter).await?;
    if count == 0 {
        return Err(nothing_matched(NOUN.1));
    }
    let what = format!("{} {}", word(&apply.command), counted(count, NOUN));
    if apply.consent.plan {
        table::print(output, &first, "dead_letters", &COLUMNS)?;
        return match output {
            Output::Json => Ok(()),
            Output::Text => {
                output::line(&format!("plan: {what}; nothing was done"))?;
                let through = filter.through.unwrap_or_default();
                output::line(&format!("for these only, and none that comes later: --through {through}"))
            }
        };
    }
    apply.consent.ask(&what)?;
    body.insert("filter", filter.body()?);
    let begun = server.post("/v1/dead-letters/bulk-jobs", &body).await?;
    bulk_jobs::wait(server, output, begun).await
}

/// The dead letters that a command is for.
struct Counted {
    count: usize,
    /// A list of the first.
    first: Answer,
    /// Takes those that were counted, and none that dies later.
    filter: Filter,
}

async fn count(server: &Server, filter: &Filter) -> Result<Counted> {
    let page = |filter: &Filter, after, limit: &str| {
        format!("/v1/dead-letters{}", filter.query([("after", after), ("limit", Some(limit.to_owned()))]))
    };
    let first = server.get(&page(filter, None, &PLANNED_MAX.to_string())).await?;
    let mut filter = filter.clone();
    if filter.through.is_none() {
        let through = first.node()?.get("through").and_then(Node::as_u64);
        filter.through = Some(through.context("the answer does not say which position it is of")?);
    }
    let (mut count, mut after) = (0, None);
    loop {
        let answer = server.get(&page(&filter, after, PAGE)).await?;
        let node = answer.node()?;
        count += node.get("dead_letters").map(Node::items).unwrap_or_default().len();
        after = node.get("next").and_then(Node::as_str).map(std::borrow::Cow::into_owned);
        if after.is_none() {
            return Ok(Counted { count, first, filter });
        }
    }
}

fn body(apply: &Apply) -> Result<Body> {
    if apply.filter.given().is_empty() && !apply.all {
        return Err(usage("select dead letters with a filter, for instance --handler, or with --all"));
    }
    let mut body = bodies::corrected_body(&apply.audit, &apply.corrected)?;
    body.insert("command", to_raw_value(&word(&apply.command))?);
    if let Some(per_second) = apply.per_second {
        body.insert("per_second", to_raw_value(&per_second)?);
    }
    Ok(body)
}
