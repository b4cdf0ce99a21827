//! `weirgate events`: publishing them. Reading them is in `event_log`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use weirgate_types::{RawEvent, json};

use super::{
    bodies,
    event_log::{self, List, Show, Tail},
    files,
    table::{self, Column},
};
use crate::{client::Server, commands::arguments::Output, failure::usage};

#[derive(Debug, Subcommand)]
pub enum Events {
    /// Publish one event, or a file of them
    Publish(Publish),
    /// List events of the log
    List(List),
    /// Show one event, by its position or by its source and id
    Show(Show),
    /// Follow the log: print events as they become durable
    Tail(Tail),
}

#[derive(Debug, Args)]
pub struct Publish {
    /// A JSON file with a `CloudEvent` or an array of them; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["type", "subject", "data"])]
    pub file: Option<PathBuf>,
    /// The event's type, for instance order.placed
    #[arg(long, value_name = "TYPE", required_unless_present = "file")]
    pub r#type: Option<String>,
    /// The event's subject, for instance order/o-1. Without it, --key is needed, unless the server has a default for keys
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Who says so
    #[arg(long, value_name = "SOURCE", default_value = "/cli")]
    pub source: String,
    /// Unique per source: a repeated id is a duplicate. Default: random
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The event's key (`partitionkey`); default: the subject
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// JSON data
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
}

const PUBLISHED: [Column; 5] = [
    Column::of("position"),
    Column::of("duplicate").dropped(0),
    Column::of("key").wrapped(),
    Column::of("source").wrapped(),
    Column::of("id"),
];

pub async fn run(server: &Server, output: Output, command: Events) -> Result<()> {
    let publish = match command {
        Events::Publish(publish) => publish,
        Events::List(list) => return event_log::list(server, output, list).await,
        Events::Show(show) => return event_log::show(server, output, show).await,
        Events::Tail(tail) => return event_log::tail(server, output, tail).await,
    };
    let event = match &publish.file {
        Some(file) => read(file)?,
        None => one(&publish)?,
    };
    post(server, output, "/v1/events", event).await
}

/// Publishes an event, or an array of them, at an endpoint that accepts them.
pub async fn post(server: &Server, output: Output, endpoint: &str, events: String) -> Result<()> {
    let content_type = match is_list(&events) {
        true => "application/cloudevents-batch+json",
        false => "application/cloudevents+json",
    };
    let answer = server.send(Method::POST, endpoint, content_type, events).await?;
    table::print(output, &answer, "events", &PUBLISHED)
}

/// The JSON in a file, or from standard input, unchanged.
pub fn read(file: &std::path::Path) -> Result<String> {
    let bytes = files::read_or_stdin("the events in", file)?;
    let text = json::check(&bytes, usize::MAX);
    Ok(text.map_err(|error| usage(format!("{} is not JSON: {error}", file.display())))?.to_owned())
}

/// Whether a JSON text is an array.
pub fn is_list(json: &str) -> bool {
    json.trim_start().starts_with('[')
}

fn one(publish: &Publish) -> Result<String> {
    let id = publish.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let data = publish.data.as_deref().map(|data| bodies::raw(data, "--data")).transpose()?;
    let key = publish.key.clone().map(|key| ("partitionkey".to_owned(), key.into()));
    let event = RawEvent {
        specversion: Some("1.0".into()),
        id: Some(id),
        source: Some(publish.source.clone()),
        r#type: publish.r#type.clone(),
        subject: publish.subject.clone(),
        datacontenttype: data.is_some().then(|| "application/json".into()),
        data,
        extensions: key.into_iter().collect(),
        ..RawEvent::default()
    };
    Ok(serde_json::to_string(&event)?)
}
