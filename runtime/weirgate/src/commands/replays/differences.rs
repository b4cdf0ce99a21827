//! `weirgate replays diff`: which keys differ, and what differs for one of them.

use anyhow::Result;
use clap::Args;
use weirgate_types::json::Node;

use super::{progress, words};
use crate::{
    client::{Answer, Server, path, query},
    commands::{
        arguments::{Output, Page},
        members::{items, number, word},
        table::{self, Column},
    },
    output,
};

#[derive(Debug, Args)]
pub struct Diff {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
    /// Show what differs for this key, at all handlers
    #[arg(value_name = "KEY", conflicts_with_all = ["subject", "after", "limit"])]
    pub key: Option<String>,
    /// Only keys on which the status of this subject differs
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

const COLUMNS: [Column; 9] = [
    Column::of("handler"),
    Column::of("key"),
    Column::of("executed").dropped(0),
    Column::named("status", "counts.statuses"),
    Column::named("state", "counts.values"),
    Column::named("new events", "counts.events_added"),
    Column::named("missing events", "counts.events_removed").dropped(2),
    Column::named("outcomes", "counts.outcomes").dropped(1),
    Column::named("fails", "fails.reason").wrapped(),
];

pub async fn run(server: &Server, output: Output, command: Diff) -> Result<()> {
    let Diff { id, key, subject, page } = command;
    let left_out = progress::found(server, &id).await?;
    match key {
        Some(key) => of_key(server, output, &id, &key).await,
        None => {
            let is_first = page.after.is_none();
            let answer = read(server, &id, subject, page).await?;
            if output == Output::Json {
                return table::show(output, &answer);
            }
            let node = answer.node()?;
            match is_first || !items(&node, "differences").is_empty() {
                true => print(&node)?,
                false => output::line("nothing differs behind that key")?,
            }
            for note in &left_out {
                output::note(note);
            }
            table::print_next(&node)
        }
    }
}

/// A page of the keys that differ.
pub async fn read(server: &Server, id: &str, subject: Option<String>, page: Page) -> Result<Answer> {
    let query = query(&[vec![("subject", subject)], page.parameters().to_vec()].concat());
    server.get(&format!("{}{query}", path(&["replays", id, "differences"])?)).await
}

/// The keys that differ, and below the table the statuses that do.
pub fn print(page: &Node) -> Result<()> {
    let differences = items(page, "differences");
    if differences.is_empty() {
        return output::line("nothing differs");
    }
    table::print_rows(differences, &COLUMNS)?;
    differences.iter().try_for_each(statuses)
}

/// The statuses of a key that differ.
fn statuses(difference: &Node) -> Result<()> {
    let statuses = items(difference, "statuses");
    let lines = statuses.iter().map(words::status);
    for line in lines {
        output::marked(line.mark, &format!("{}: {}", word(difference, "key"), line.text))?;
    }
    let more = number(difference, "more_statuses");
    match more {
        0 => Ok(()),
        more => output::line(&format!("  {}: and {more} more subjects", word(difference, "key"))),
    }
}

async fn of_key(server: &Server, output: Output, id: &str, key: &str) -> Result<()> {
    // In the query, because clients and proxies change paths with dots or empty parts.
    let query = query(&[("key", Some(key.to_owned()))]);
    let answer = server.get(&format!("{}{query}", path(&["replays", id, "keys"])?)).await?;
    if output == Output::Json {
        return table::show(output, &answer);
    }
    let node = answer.node()?;
    for lane in items(&node, "handlers") {
        let (handler, executed) = (word(lane, "handler"), number(lane, "executed"));
        output::line(&format!("{key} at {handler}, as it would have been ({executed} deliveries executed)"))?;
        words::differences(lane).iter().try_for_each(|line| output::marked(line.mark, &line.text))?;
    }
    let plan = node.get("plan").map(words::plan).unwrap_or_default();
    if items(&node, "handlers").is_empty() && plan.is_empty() {
        return output::line(&format!("nothing differs for {key}"));
    }
    output::line(if plan.is_empty() { "applying it appends nothing" } else { "what applying it appends" })?;
    plan.iter().try_for_each(|line| output::marked(line.mark, &line.text))
}
