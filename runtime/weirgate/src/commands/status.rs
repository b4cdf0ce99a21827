//! `weirgate status`.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact};

use crate::{client::Server, commands::arguments::Output};

#[derive(Debug, Subcommand)]
pub enum Status {
    /// Print a subject's status
    Get { subject: String },
    /// Follow a subject's status: print every change
    Watch { subject: String },
}

pub async fn run(server: &Server, output: Output, command: Status) -> Result<()> {
    match command {
        Status::Get { subject } => {
            let status = server.get(&format!("/v1/status/{subject}")).await?;
            print(output, &status.node()?)
        }
        Status::Watch { subject } => watch(server, output, &subject).await,
    }
}

/// Prints the status and every change, until the server ends the connection.
async fn watch(server: &Server, output: Output, subject: &str) -> Result<()> {
    let mut request = server.live_url().into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("weirgate.v1"));
    let (mut socket, _) = connect_async(request)
        .await
        .with_context(|| format!("cannot open a live connection to {}", server.live_url()))?;
    let subscribe = json!({ "type": "subscribe", "subjects": [{ "subject": subject }] });
    socket.send(Message::Text(subscribe.to_string().into())).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => {
                let frame = Node::parse(&text, SHOWN_DEPTH_MAX).context("the server sent no JSON")?;
                match frame.get("type").and_then(Node::as_str).as_deref() {
                    Some("snapshot" | "delta") => print(output, &frame)?,
                    Some("error") => match word(&frame, "message") {
                        message if message.is_empty() => bail!("the server sent an error"),
                        message => bail!("{message}"),
                    },
                    _ => {}
                }
            }
            Message::Close(close) => {
                bail!("the server ended the connection: {}", close.map(|c| c.reason.to_string()).unwrap_or_default())
            }
            _ => {}
        }
    }
    bail!("the connection was lost; run the command again to continue")
}

fn print(output: Output, status: &Node) -> Result<()> {
    if output == Output::Json {
        println!("{}", compact(status.text(), SHOWN_DEPTH_MAX)?);
        return Ok(());
    }
    println!("version {}", status.get("version").map_or("null", Node::text));
    for part in status.get("parts").and_then(Node::members).unwrap_or_default() {
        let trouble = match part.value.get("delivery") {
            Some(delivery) => format!("  [{}: {}]", word(delivery, "state"), word(delivery, "message")),
            None => String::new(),
        };
        println!("  {:14} {:14} {}{trouble}", part.name, word(&part.value, "state"), word(&part.value, "text"));
    }
    Ok(())
}

fn word(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().into_owned()
}
