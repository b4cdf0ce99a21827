//! `weirgate handlers`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::value::to_raw_value;
use weirgate_types::{Manifest, json::Node};

use super::{
    bodies, events, files,
    table::{self, Column},
    versions::{self, Remove, Rollback},
};
use crate::{
    client::{Answer, Body, Server, path},
    commands::arguments::{Audit, Output, Page},
    failure::usage,
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

#[derive(Debug, Args)]
pub struct Deploy {
    /// Manifests (handler.toml)
    #[arg(required = true, value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,
    /// The directory of the components; by default that of the manifest
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Run deliveries that wait for a retry at once, under the new version, with all their attempts
    #[arg(long)]
    pub retry_waiting: bool,
    #[command(flatten)]
    pub audit: Audit,
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
        Handlers::List => server.get("/v1/handlers").await?,
        Handlers::Pause { name, audit } => change(server, &name, "pause", &audit).await?,
        Handlers::Drain { name, audit } => change(server, &name, "drain", &audit).await?,
        Handlers::Resume { name, audit } => change(server, &name, "resume", &audit).await?,
        Handlers::Post { name, file } => {
            return events::post(server, output, &path(&["handlers", &name, "events"])?, events::read(&file)?).await;
        }
        Handlers::Versions { name, page } => return versions::list(server, output, &name, page).await,
        Handlers::Rollback(rollback) => return versions::roll_back(server, output, &rollback).await,
        Handlers::Remove(remove) => return versions::remove(server, output, &remove).await,
        Handlers::Deploy(deploy) => deploy_all(server, &deploy).await?,
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

async fn deploy_all(server: &Server, deploy: &Deploy) -> Result<Answer> {
    let mut handlers = Vec::new();
    for path in &deploy.manifests {
        let deployed = deploy_one(server, path, deploy).await;
        handlers.push(deployed.with_context(|| format!("{} was not deployed", path.display()))?);
    }
    Ok(Answer::listed("handlers", &handlers))
}

async fn deploy_one(server: &Server, manifest_path: &Path, deploy: &Deploy) -> Result<Answer> {
    let manifest = read_manifest(manifest_path)?;
    let module = module_path(&manifest, manifest_path, deploy.modules.as_deref())?;
    let mut body = bodies::body(&deploy.audit)?;
    body.insert("retry_waiting", to_raw_value(&deploy.retry_waiting)?);
    upload_and_deploy(server, &manifest, files::read("the module", &module)?, body).await
}

/// The manifest in a file.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = files::utf8("the manifest", files::read("the manifest", path)?)?;
    Manifest::from_toml(&text).map_err(|error| usage(error.to_string()))
}

/// Uploads a module, and deploys it with its manifest.
pub async fn deploy(server: &Server, manifest: &Manifest, bytes: Vec<u8>) -> Result<Answer> {
    upload_and_deploy(server, manifest, bytes, Body::new()).await
}

/// `body` has the other fields of the deployment.
async fn upload_and_deploy(server: &Server, manifest: &Manifest, bytes: Vec<u8>, mut body: Body) -> Result<Answer> {
    let uploaded = server.send(Method::PUT, "/v1/modules", "application/wasm", bytes).await?;
    let uploaded = uploaded.node()?;
    let digest = uploaded.get("digest").and_then(Node::as_str).context("the answer has no digest")?;
    body.insert("digest", to_raw_value(&digest)?);
    body.insert("manifest", to_raw_value(manifest)?);
    let endpoint = path(&["handlers", manifest.name.as_str()])?;
    server.send(Method::PUT, &endpoint, "application/json", serde_json::to_string(&body)?).await
}

/// Where the manifest's module is.
pub fn module_path(manifest: &Manifest, path: &Path, modules: Option<&Path>) -> Result<PathBuf> {
    let Some(module) = &manifest.module else {
        let text = format!("the manifest has no module; add for instance module = \"{}.wasm\"", manifest.name);
        return Err(usage(text));
    };
    let dir = modules.or_else(|| path.parent()).unwrap_or_else(|| Path::new("."));
    Ok(dir.join(module))
}
