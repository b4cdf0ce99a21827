//! `weirgate events`.

#![allow(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]

use std::io::Read;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::table;
use crate::{
    cli::{Events, Output, Publish},
    client::Server,
};

pub async fn run(server: &Server, output: Output, verb: Events) -> Result<()> {
    let Events::Publish(publish) = verb;
    let event = match &publish.file {
        Some(file) => read(file)?,
        None => one(&publish)?,
    };
    post(server, output, "/v1/events", &event).await
}

/// Publish an event, or an array of them, at a door that takes them.
pub async fn post(server: &Server, output: Output, door: &str, events: &Value) -> Result<()> {
    let content_type = match events {
        Value::Array(_) => "application/cloudevents-batch+json",
        _ => "application/cloudevents+json",
    };
    let answer = server.send(Method::POST, door, content_type, events.to_string()).await?;
    table::print(output, &answer, "events", &["position", "duplicate", "key", "source", "id"])
}

/// The JSON in a file, or from standard input.
pub fn read(file: &std::path::Path) -> Result<Value> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

fn one(publish: &Publish) -> Result<Value> {
    let id = publish.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let mut event = json!({
        "specversion": "1.0", "id": id, "source": publish.source, "type": publish.r#type, "subject": publish.subject,
    });
    if let Some(data) = &publish.data {
        event["datacontenttype"] = "application/json".into();
        event["data"] = serde_json::from_str(data).context("--data is not JSON")?;
    }
    if let Some(key) = &publish.key {
        event["partitionkey"] = key.as_str().into();
    }
    Ok(event)
}
