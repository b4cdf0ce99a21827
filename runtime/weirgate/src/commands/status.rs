//! `weirgate status`.

use anyhow::{Context, Error, Result};
use clap::Subcommand;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact};

use super::table;
use crate::{
    client::{Server, query},
    commands::arguments::Output,
    failure::Failure,
    output,
};

#[derive(Debug, Subcommand)]
pub enum Status {
    /// Print a subject's status
    Get {
        /// For instance order/o-1
        #[arg(value_name = "SUBJECT")]
        subject: String,
    },
    /// Follow a subject's status: print every change
    Watch {
        /// For instance order/o-1
        #[arg(value_name = "SUBJECT")]
        subject: String,
    },
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

pub async fn run(server: &Server, output: Output, command: Status) -> Result<()> {
    match command {
        Status::Get { subject } => {
            // In the query, because clients and proxies change paths with dots or empty parts.
            let status = server.get(&format!("/v1/status{}", query(&[("subject", Some(subject))]))).await?;
            print(output, &status.node()?)
        }
        Status::Watch { subject } => watch(server, output, &subject).await,
    }
}

/// Prints the status and every change, until the server ends the connection.
async fn watch(server: &Server, output: Output, subject: &str) -> Result<()> {
    let mut socket = connect(server).await?;
    let subscribe = json!({ "type": "subscribe", "subjects": [{ "subject": subject }] });
    socket.send(Message::Text(subscribe.to_string().into())).await.map_err(|error| server.not_answered(&error))?;
    let mut reader_gone = std::pin::pin!(output::reader_gone());
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            closed = &mut reader_gone => return Err(closed),
        };
        let Some(message) = message else { break };
        match message.map_err(|error| server.not_answered(&error))? {
            Message::Text(text) => print_frame(output, &text)?,
            Message::Close(close) => return Err(ended(server, close)),
            _ => {}
        }
    }
    Err(server.lost("it ended without a reason"))
}

/// The error for the server's close: a server that goes away, or a refusal.
fn ended(server: &Server, close: Option<CloseFrame>) -> Error {
    let Some(CloseFrame { code, reason }) = close else { return server.lost("it ended without a reason") };
    let is_away = matches!(code, CloseCode::Normal | CloseCode::Away | CloseCode::Restart | CloseCode::Again);
    match reason.as_str() {
        "" if is_away => server.lost(&format!("the server ended it ({})", u16::from(code))),
        reason if is_away => server.lost(reason),
        reason => Failure::Refused(format!("the server ended the connection: {reason} ({})", u16::from(code))).into(),
    }
}

async fn connect(server: &Server) -> Result<Socket> {
    let mut request = server.live_url().into_client_request().map_err(|error| server.not_answered(&error))?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("weirgate.v1"));
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(server.refused(response.status(), body, None))
        }
        Err(error) => Err(server.not_answered(&error)),
    }
}

fn print_frame(output: Output, text: &str) -> Result<()> {
    let frame = Node::parse(text, SHOWN_DEPTH_MAX).context("the server sent no JSON")?;
    match frame.get("type").and_then(Node::as_str).as_deref() {
        Some("snapshot" | "delta") => print(output, &frame),
        Some("error") => match word(&frame, "message") {
            message if message.is_empty() => Err(Failure::Refused("the server sent an error".into()).into()),
            message => Err(Failure::Refused(message).into()),
        },
        _ => Ok(()),
    }
}

fn print(output: Output, status: &Node) -> Result<()> {
    if output == Output::Json {
        return output::json(&compact(&table::of_status(status), SHOWN_DEPTH_MAX)?);
    }
    output::line(&format!("version {}", status.get("version").map_or("null", Node::text)))?;
    for part in status.get("parts").and_then(Node::members).unwrap_or_default() {
        let trouble = match part.value.get("delivery") {
            Some(delivery) => format!("  [{}: {}]", word(delivery, "state"), word(delivery, "message")),
            None => String::new(),
        };
        let is = |name| part.value.get(name).is_some_and(|value| value.text() == "true");
        let (state, text) = (word(&part.value, "state"), word(&part.value, "text"));
        let state = if is("removed") { "(removed)".to_owned() } else { state };
        let corrected = if is("corrected") { "  [corrected]" } else { "" };
        output::line(&format!("  {:14} {state:14} {text}{corrected}{trouble}", part.name))?;
    }
    Ok(())
}

fn word(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().into_owned()
}
