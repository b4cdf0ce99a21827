//! `weirgate replays what-if`: uploads the candidate if it is a file, asks, and waits for the answer if that is wanted.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::value::{RawValue, to_raw_value};
use weirgate_types::json::Node;

use super::progress;
use crate::{
    client::{Answer, Body, Server},
    commands::{
        arguments::{Audit, Output, moment, whole, word},
        bodies, deploy, files,
    },
    failure::usage,
};

#[derive(Debug, Args)]
pub struct Ask {
    /// The handler's name
    #[arg(value_name = "HANDLER")]
    pub handler: String,
    /// The candidate: a manifest (handler.toml), whose component is uploaded
    #[arg(long, value_name = "MANIFEST", conflicts_with = "version")]
    pub candidate: Option<PathBuf>,
    /// The directory of the candidate's component; by default that of the manifest
    #[arg(long, value_name = "DIR", requires = "candidate")]
    pub modules: Option<PathBuf>,
    /// The candidate: an earlier version of the handler
    #[arg(long, value_name = "VERSION", value_parser = whole::<u32>)]
    pub version: Option<u32>,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub audit: Audit,
}

/// Which deliveries the candidate handles; all that is named has to apply.
#[derive(Debug, Default, Args)]
pub struct Selection {
    /// Only events after this position
    #[arg(long, value_name = "POSITION", value_parser = whole::<u64>)]
    pub after: Option<u64>,
    /// Only events up to this position
    #[arg(long, value_name = "POSITION", value_parser = whole::<u64>)]
    pub through: Option<u64>,
    /// Only events accepted at or after this time: RFC 3339, or Unix milliseconds
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<String>,
    /// Only events accepted before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<String>,
    /// Only events of these keys, for instance order/o-1
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Only events of these types; `*` as in subscriptions
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only deliveries that ended so
    #[arg(long, value_enum)]
    pub outcome: Option<Ended>,
    /// Only deliveries that this version of the handler ended, and events that it did not take while it was in force
    #[arg(long, value_name = "VERSION", value_parser = whole::<u32>)]
    pub handled_by: Option<u32>,
    /// Only deliveries whose event's data fulfils this condition, for instance '/amount >= 1000' or '/country = "DE"'; may be repeated
    #[arg(long, value_name = "CONDITION")]
    pub filter: Vec<String>,
    /// Only deliveries that read this value of the state
    #[arg(long, value_name = "NAME")]
    pub read_state: Option<String>,
}

/// How it is run.
#[derive(Debug, Default, Args)]
pub struct Run {
    /// What a call of a host gets that the log has no answer for
    #[arg(long, value_enum)]
    pub missing_answers: Option<MissingAnswers>,
    /// Stop after this many keys with differences
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u64>)]
    pub keys_max: Option<u64>,
    /// Stop after this much processor time, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u64>)]
    pub cpu_seconds_max: Option<u64>,
    /// Stop when what differs takes this many bytes
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u64>)]
    pub bytes_max: Option<u64>,
    /// Stop after this many calls of hosts that were made
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u64>)]
    pub calls_max: Option<u64>,
    /// Wait until it is computed, and show what differs
    #[arg(long)]
    pub wait: bool,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ended {
    /// It completed
    Completed,
    /// It is a dead letter
    DeadLettered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MissingAnswers {
    /// None: the delivery fails, and its key gets no plan
    Fail,
    /// The last answer that the delivery got for a step of this name
    Last,
    /// That of the called host, where the call only reads (GET, HEAD); others fail
    Call,
}

pub async fn run(server: &Server, output: Output, ask: Ask) -> Result<()> {
    let candidate = candidate(server, &ask).await?;
    begin(server, output, (&ask.handler, candidate), &ask.selection, &ask.run, &ask.audit).await
}

/// Asks for a replay of a handler with a candidate (the version in force if there is none), and prints it.
pub async fn begin(
    server: &Server,
    output: Output,
    (handler, candidate): (&str, Body),
    selection: &Selection,
    run: &Run,
    audit: &Audit,
) -> Result<()> {
    let mut body = bodies::body(audit)?;
    body.insert("handler", to_raw_value(handler)?);
    body.insert("candidate", to_raw_value(&candidate)?);
    body.insert("selection", to_raw_value(&selection.body()?)?);
    insert(&mut body, "missing_answers", run.missing_answers.as_ref().map(word).as_ref())?;
    let mut bounds = Body::new();
    insert(&mut bounds, "keys", run.keys_max.as_ref())?;
    insert(&mut bounds, "cpu_seconds", run.cpu_seconds_max.as_ref())?;
    insert(&mut bounds, "bytes", run.bytes_max.as_ref())?;
    insert(&mut bounds, "calls", run.calls_max.as_ref())?;
    body.insert("bounds", to_raw_value(&bounds)?);
    let asked = server.post("/v1/replays", &body).await?;
    match run.wait {
        true => progress::computed(server, output, asked).await,
        false => progress::print(output, asked),
    }
}

impl Selection {
    fn body(&self) -> Result<Body> {
        let Self { after, through, since, until, keys, types, outcome, handled_by, filter, read_state } = self;
        let mut body = Body::new();
        insert(&mut body, "after", after.as_ref())?;
        insert(&mut body, "through", through.as_ref())?;
        insert(&mut body, "since", since.as_ref())?;
        insert(&mut body, "until", until.as_ref())?;
        insert(&mut body, "keys", (!keys.is_empty()).then_some(keys))?;
        insert(&mut body, "types", (!types.is_empty()).then_some(types))?;
        insert(&mut body, "outcome", outcome.as_ref().map(word).as_ref())?;
        insert(&mut body, "version", handled_by.as_ref())?;
        insert(&mut body, "filter", (!filter.is_empty()).then_some(filter))?;
        insert(&mut body, "read_state", read_state.as_ref())?;
        Ok(body)
    }
}

fn insert(body: &mut Body, name: &'static str, value: Option<&impl serde::Serialize>) -> Result<()> {
    if let Some(value) = value {
        body.insert(name, to_raw_value(value)?);
    }
    Ok(())
}

async fn candidate(server: &Server, ask: &Ask) -> Result<Body> {
    let mut candidate = Body::new();
    insert(&mut candidate, "version", ask.version.as_ref())?;
    let Some(path) = &ask.candidate else { return Ok(candidate) };
    let (digest, manifest) = upload(server, path, ask.modules.as_deref(), &ask.handler).await?;
    candidate.insert("digest", digest);
    candidate.insert("manifest", manifest);
    Ok(candidate)
}

/// Uploads the component of a manifest. Returns its digest, and the manifest.
async fn upload(
    server: &Server,
    path: &Path,
    modules: Option<&Path>,
    handler: &str,
) -> Result<(Box<RawValue>, Box<RawValue>)> {
    let manifest = deploy::read_manifest(path)?;
    if manifest.name.as_str() != handler {
        return Err(usage(format!("{} is the manifest of {}, not of {handler}", path.display(), manifest.name)));
    }
    let module = deploy::module_path(&manifest, path, modules)?;
    let digest = deploy::upload_module(server, files::read("the module", &module)?).await?;
    Ok((to_raw_value(&digest)?, to_raw_value(&manifest)?))
}

/// The id of the replay in an answer.
pub fn id_of(replay: &Answer) -> Result<String> {
    let node = replay.node()?;
    let id = node.get("id").and_then(Node::as_str).context("the answer has no replay id")?;
    Ok(id.into_owned())
}
