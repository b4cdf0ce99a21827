//! `weirgate replays approve`, `apply`, `undo` and `cancel`.

use anyhow::Result;
use clap::Args;
use serde_json::value::to_raw_value;

use super::progress;
use crate::{
    client::{Answer, Body, Server, path},
    commands::{
        arguments::{Audit, Output},
        bodies,
    },
};

#[derive(Debug, Args)]
pub struct Approve {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
    /// The plan's whole digest, as the last line of `replays plan` shows it
    #[arg(long, value_name = "DIGEST")]
    pub plan: String,
    /// Only these keys of the plan
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Set timers that were due in the past, too; they fire at once
    #[arg(long)]
    pub fire_past: bool,
    /// Make calls that no record has an answer for, each with its own idempotency key, on keys that need them
    #[arg(long)]
    pub allow_calls: bool,
    /// Fold this receiver again; `replays plan` shows those that may be
    #[arg(long, value_name = "HANDLER")]
    pub fold_again: Vec<String>,
    #[command(flatten)]
    pub audit: Audit,
}

#[derive(Debug, Args)]
pub struct Apply {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
    /// Wait until it is applied
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub audit: Audit,
}

#[derive(Debug, Args)]
pub struct Undo {
    /// The replay's id, as the list shows it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Wait until it is computed, and show what differs
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub audit: Audit,
}

#[derive(Debug, Args)]
pub struct Cancel {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub audit: Audit,
}

pub async fn approve(server: &Server, output: Output, command: &Approve) -> Result<()> {
    let mut body = bodies::body(&command.audit)?;
    body.insert("plan", to_raw_value(&command.plan)?);
    body.insert("fire_past", to_raw_value(&command.fire_past)?);
    body.insert("allow_calls", to_raw_value(&command.allow_calls)?);
    body.insert("fold_again", to_raw_value(&command.fold_again)?);
    if !command.keys.is_empty() {
        body.insert("keys", to_raw_value(&command.keys)?);
    }
    progress::ready(server, &command.id).await?;
    progress::print(output, send(server, &command.id, "approve", &body).await?)
}

pub async fn apply(server: &Server, output: Output, command: &Apply) -> Result<()> {
    progress::ready(server, &command.id).await?;
    let begun = send(server, &command.id, "apply", &bodies::body(&command.audit)?).await?;
    match command.wait {
        true => progress::applied(server, output, begun).await,
        false => progress::print(output, begun),
    }
}

pub async fn undo(server: &Server, output: Output, command: &Undo) -> Result<()> {
    let asked = send(server, &command.id, "undo", &bodies::body(&command.audit)?).await?;
    match command.wait {
        true => progress::computed(server, output, asked).await,
        false => progress::print(output, asked),
    }
}

pub async fn cancel(server: &Server, output: Output, command: &Cancel) -> Result<()> {
    progress::print(output, send(server, &command.id, "cancel", &bodies::body(&command.audit)?).await?)
}

async fn send(server: &Server, id: &str, command: &str, body: &Body) -> Result<Answer> {
    server.post(&path(&["replays", id, command])?, body).await
}
