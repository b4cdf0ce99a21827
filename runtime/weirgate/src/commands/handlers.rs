//! `weirgate handlers`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use weirgate_types::json::Node;

use super::{
    bodies,
    deploy::{self, Deploy},
    events,
    replays::affected::{self, Affected},
    table::{self, Column},
    versions::{self, Remove, Rollback},
};
use crate::{
    client::{Answer, Server, path},
    commands::arguments::{Audit, Output, Page},
    output,
};

#[derive(Debug, Subcommand)]
pub enum Handlers {
    /// Upload a handler's component and deploy it with its manifest
    Deploy(Deploy),
    /// List handlers and their state
    List,
    /// Pause a handler: begin no attempts
    Pause {
        /// The handler's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Drain a handler: finish open deliveries, take no new events
    Drain {
        /// The handler's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Resume a paused or drained handler
    Resume {
        /// The handler's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// List a handler's versions: what was deployed, by whom and why, and what came of it
    Versions {
        /// The handler's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show which keys another version would have handled otherwise, among the deliveries of one version
    Affected(Affected),
    /// Deploy an earlier version again
    Rollback(Rollback),
    /// Remove a handler, with its state, timers and schedules
    Remove(Remove),
    /// Publish events to one handler only, independent of its subscriptions
    Post {
        /// The handler's name
        #[arg(value_name = "NAME")]
        name: String,
        /// A JSON file with a `CloudEvent` or an array of them; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

const COLUMNS: [Column; 10] = [
    Column::of("name"),
    Column::of("state"),
    Column::of("lag"),
    Column::duration("oldest_open", "oldest_open_age_ms").dropped(5),
    Column::of("open").dropped(4),
    Column::of("running").dropped(1),
    Column::of("retrying").dropped(3),
    Column::of("checkpoint").dropped(0),
    Column::digest("digest").dropped(2),
    Column::of("reason").wrapped(),
];

pub async fn run(server: &Server, output: Output, command: Handlers) -> Result<()> {
    let is_deployment = matches!(command, Handlers::Deploy(_));
    let answer = match command {
        Handlers::List => server.list("/v1/handlers", "handlers").await?,
        Handlers::Pause { name, audit } => change(server, &name, "pause", &audit).await?,
        Handlers::Drain { name, audit } => change(server, &name, "drain", &audit).await?,
        Handlers::Resume { name, audit } => change(server, &name, "resume", &audit).await?,
        Handlers::Post { name, file } => {
            return events::post(server, output, &path(&["handlers", &name, "events"])?, events::read(&file)?).await;
        }
        Handlers::Versions { name, page } => return versions::list(server, output, &name, page).await,
        Handlers::Affected(affected) => return affected::run(server, output, affected).await,
        Handlers::Rollback(rollback) => return versions::roll_back(server, output, &rollback).await,
        Handlers::Remove(remove) => return versions::remove(server, output, &remove).await,
        Handlers::Deploy(deploy) if deploy.plan => {
            return deploy::print_plans(output, &deploy::all(server, &deploy).await?);
        }
        Handlers::Deploy(deploy) => deploy::all(server, &deploy).await?,
    };
    table::print(output, &answer, "handlers", &COLUMNS)?;
    if is_deployment && output == Output::Text {
        print_schedules(&answer)?;
    }
    versions::end_retries(server, &answer).await
}

/// When each schedule is due next, so that an unintended schedule is noticed.
fn print_schedules(answer: &Answer) -> Result<()> {
    let answer = answer.node()?;
    let word = |node: &Node, name: &str| node.get(name).and_then(Node::as_str).unwrap_or_default().into_owned();
    for handler in answer.get("handlers").map(Node::items).unwrap_or_default() {
        for schedule in handler.get("schedules").map(Node::items).unwrap_or_default() {
            let times = schedule.get("next_due_ms").map(Node::items).unwrap_or_default();
            let times: Vec<_> = times.iter().filter_map(Node::as_u64).map(table::moment).collect();
            let (name, cron) = (word(schedule, "name"), word(schedule, "cron"));
            let (handler, zone) = (word(handler, "name"), word(schedule, "time_zone"));
            let times = times.join(", ");
            output::line(&format!("schedule {name} of {handler} ({cron}, {zone}) is next due at {times}"))?;
        }
    }
    Ok(())
}

async fn change(server: &Server, name: &str, command: &str, audit: &Audit) -> Result<Answer> {
    let handler = server.post(&path(&["handlers", name, command])?, &bodies::body(audit)?).await?;
    Ok(Answer::listed("handlers", &[handler]))
}
