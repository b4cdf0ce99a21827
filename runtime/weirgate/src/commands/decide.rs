//! Commands for deliveries: for those that are named, or for all that match a filter.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use weirgate_types::json::Node;

use super::{
    bodies,
    consent::counted,
    deliveries::{COLUMNS, Decide, DeliveryFilter},
    table::{self, Column},
};
use crate::{
    client::{Answer, Body, Refused, Server, path, query},
    commands::arguments::Output,
    failure::{Failure, chain, usage},
    output,
};

/// Requests in flight at once.
const CONCURRENT: usize = 8;
const PAGE: &str = "1000";
/// How many items a plan lists.
const PLANNED_MAX: usize = 20;
const NOUN: (&str, &str) = ("delivery", "deliveries");

const DECIDED: [Column; 3] = [Column::of("id"), Column::of("position"), Column::of("diff").wrapped()];

/// A command, ready to be sent for one delivery after the other.
pub struct Decision {
    /// The endpoint: `deliveries` or `dead-letters`.
    pub noun: &'static str,
    pub command: &'static str,
    pub body: Body,
}

/// What came of a command for many.
#[derive(Default)]
struct Results {
    decided: Vec<Answer>,
    /// Closed, or running, by the time the command came.
    moved_on: usize,
    refused: Vec<anyhow::Error>,
}

/// Carries out a command for the deliveries that are named or selected.
pub async fn selected(server: &Server, output: Output, command: &'static str, selected: Decide) -> Result<()> {
    let Decide { ids, filter, all, consent, audit } = selected;
    let decision = Decision { noun: "deliveries", command, body: bodies::body(&audit)? };
    let is_filtered = all || !filter.is_empty();
    match (ids.is_empty(), is_filtered) {
        (true, false) => {
            return Err(usage(format!(
                "select deliveries by their ids, with a filter, for instance --handler, or with --all: weirgate deliveries {command} payment@42"
            )));
        }
        (false, true) => return Err(usage("select deliveries either by their ids or with a filter, not both")),
        (false, false) if consent.plan => return plan_named(server, output, command, &ids).await,
        (false, false) => return decision.named(server, output, &ids).await,
        (true, true) => consent.check()?,
    }
    let found = find(server, &filter).await?;
    if found.is_empty() {
        return Err(nothing_matched(NOUN.1));
    }
    if consent.plan {
        return print_plan(output, command, &found);
    }
    consent.ask(&format!("{command} {}", counted(found.len(), NOUN)))?;
    let ids = found.iter().map(id_of).collect::<Result<Vec<_>>>()?;
    decision.all(server, output, ids).await
}

/// The error of a command that matched nothing.
pub fn nothing_matched(nouns: &str) -> anyhow::Error {
    Failure::NotFound(format!("no {nouns} match; nothing was done")).into()
}

impl Decision {
    /// Sends the command for each id in turn, and prints the results. Stops at the first refusal; what was decided before
    /// is printed.
    pub async fn named(&self, server: &Server, output: Output, ids: &[String]) -> Result<()> {
        let mut decided = Vec::new();
        for id in ids {
            match self.send(server, id).await {
                Ok(answer) => decided.push(answer),
                Err(error) => {
                    if !decided.is_empty() {
                        table::print(output, &Answer::listed("decided", &decided), "decided", &DECIDED)?;
                    }
                    return Err(error);
                }
            }
        }
        table::print(output, &Answer::listed("decided", &decided), "decided", &DECIDED)
    }

    /// Sends the command for many, and prints how it went.
    async fn all(&self, server: &Server, output: Output, ids: Vec<String>) -> Result<()> {
        let mut results = Results::default();
        {
            let sent = futures_util::stream::iter(&ids).map(|id| self.send(server, id)).buffered(CONCURRENT);
            tokio::pin!(sent);
            while let Some(answer) = sent.next().await {
                match answer {
                    Ok(answer) => results.decided.push(answer),
                    Err(error) => match error.downcast_ref::<Refused>().map(|refused| refused.code.as_str()) {
                        Some("not-open" | "running" | "changed") => results.moved_on += 1,
                        Some(_) => results.refused.push(error),
                        None => return Err(error),
                    },
                }
            }
        }
        self.print(output, &results)
    }

    fn print(&self, output: Output, results: &Results) -> Result<()> {
        let Results { decided, moved_on, refused } = results;
        match output {
            Output::Json => table::print(output, &Answer::listed("decided", decided), "decided", &DECIDED)?,
            Output::Text => {
                output::line(&format!("{}: {}", self.command, counted(decided.len(), NOUN)))?;
                if *moved_on > 0 {
                    output::line(&format!("{} had moved on by then", counted(*moved_on, NOUN)))?;
                }
            }
        }
        match refused.first() {
            None => Ok(()),
            Some(first) => {
                let text = format!("{} refused, the first because {}", counted(refused.len(), NOUN), chain(first));
                Err(Failure::Refused(text).into())
            }
        }
    }

    async fn send(&self, server: &Server, id: &str) -> Result<Answer> {
        server.post(&path(&[self.noun, id, self.command])?, &self.body).await
    }
}

/// All open deliveries that match, each as JSON.
async fn find(server: &Server, filter: &DeliveryFilter) -> Result<Vec<Answer>> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = [("after", after.clone()), ("limit", Some(PAGE.to_owned()))];
        let query = query(&[filter.parameters().as_slice(), &page].concat());
        let answer = server.get(&format!("/v1/deliveries{query}")).await?;
        let node = answer.node()?;
        found.extend(node.get("deliveries").map(Node::items).unwrap_or_default().iter().map(Answer::of));
        match node.get("next").and_then(Node::as_str) {
            Some(next) => after = Some(next.into_owned()),
            None => return Ok(found),
        }
    }
}

fn id_of(item: &Answer) -> Result<String> {
    Ok(item.node()?.get("id").and_then(Node::as_str).context("a delivery has no id")?.into_owned())
}

async fn plan_named(server: &Server, output: Output, command: &str, ids: &[String]) -> Result<()> {
    let mut found = Vec::new();
    for id in ids {
        found.push(server.get(&path(&["deliveries", id])?).await?);
    }
    print_plan(output, command, &found)
}

fn print_plan(output: Output, command: &str, found: &[Answer]) -> Result<()> {
    if output == Output::Json {
        return table::print(output, &Answer::listed("deliveries", found), "deliveries", &COLUMNS);
    }
    let shown = Answer::listed("deliveries", found.get(..PLANNED_MAX).unwrap_or(found));
    table::print(output, &shown, "deliveries", &COLUMNS)?;
    if found.len() > PLANNED_MAX {
        output::line(&format!("and {} more", found.len() - PLANNED_MAX))?;
    }
    output::line(&format!("plan: {command} {}; nothing was done", counted(found.len(), NOUN)))
}
