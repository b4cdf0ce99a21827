//! `weirgate status`.

#![allow(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    cli::{Output, Status},
    client::Server,
};

pub async fn run(server: &Server, output: Output, verb: Status) -> Result<()> {
    match verb {
        Status::Get { subject } => {
            let status = server.get(&format!("/v1/status/{subject}")).await?;
            print(output, &status);
            Ok(())
        }
        Status::Watch { subject } => watch(server, output, &subject).await,
    }
}

/// Print the status and every change, until the server ends the connection.
async fn watch(server: &Server, output: Output, subject: &str) -> Result<()> {
    let mut request = server.live_url().into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("weirgate.v1"));
    let (mut socket, _) =
        connect_async(request).await.with_context(|| format!("no live connection to {}", server.live_url()))?;
    let subscribe = json!({ "type": "subscribe", "subjects": [{ "subject": subject }] });
    socket.send(Message::Text(subscribe.to_string().into())).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).context("the server sent no JSON")?;
                match frame["type"].as_str() {
                    Some("snapshot" | "delta") => print(output, &frame),
                    Some("error") => bail!("{}", frame["message"].as_str().unwrap_or("the server sent an error")),
                    _ => {}
                }
            }
            Message::Close(close) => {
                bail!("the server ended the connection: {}", close.map(|c| c.reason.to_string()).unwrap_or_default())
            }
            _ => {}
        }
    }
    bail!("the connection is gone; run the command again to go on")
}

fn print(output: Output, status: &Value) {
    if output == Output::Json {
        println!("{status}");
        return;
    }
    let parts: BTreeMap<String, Value> = serde_json::from_value(status["parts"].clone()).unwrap_or_default();
    println!("version {}", status["version"]);
    for (name, part) in parts {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let trouble = match part["delivery"]["state"].as_str() {
            Some(state) => format!("  [{state}: {}]", word(&part["delivery"]["message"])),
            None => String::new(),
        };
        println!("  {name:14} {:14} {}{trouble}", word(&part["state"]), word(&part["text"]));
    }
}
