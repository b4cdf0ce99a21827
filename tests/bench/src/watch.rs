//! The browsers of a run: WebSocket connections that speak `weirgate.v1` (docs/protocols/live.md) and report pushed
//! statuses.

use std::{borrow::Cow, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use crate::ledger::Seen;

/// Maximum number of subjects of a connection.
pub const SUBJECTS_MAX: usize = 128;
/// A client with many subjects sends several frames: a frame is at most 16 KiB.
const SUBSCRIBE_AT_ONCE: usize = 64;
/// How long the server may take to answer a connection and its subscriptions.
const PATIENCE: Duration = Duration::from_secs(20);
/// Number of connections opened at once.
const CONNECT_AT_ONCE: usize = 64;

/// Called with the subject and its status's data, for each pushed one.
pub type OnStatus = Arc<dyn Fn(&str, Seen) + Send + Sync>;

type Socket = WebSocketStream<TcpStream>;

/// Connections that are open and subscribed. Dropping them closes them.
pub struct Watchers {
    sockets: JoinSet<Result<()>>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(default)]
    parts: Parts,
}

/// The handler's part, the only one that is used.
#[derive(Default, Deserialize)]
struct Parts {
    bench: Option<Part>,
}

#[derive(Deserialize)]
struct Part {
    data: Option<Seen>,
}

impl Watchers {
    /// One connection for each list of subjects.
    ///
    /// # Errors
    /// One of them cannot be made or is not answered.
    pub async fn connect(authority: &str, subjects: Vec<Vec<String>>, on_status: &OnStatus) -> Result<Self> {
        let mut waiting = subjects.into_iter();
        let (mut connecting, mut sockets) = (JoinSet::new(), JoinSet::new());
        loop {
            while connecting.len() < CONNECT_AT_ONCE {
                let Some(subjects) = waiting.next() else { break };
                connecting.spawn(subscribed(authority.to_owned(), subjects));
            }
            let Some(socket) = connecting.join_next().await else { return Ok(Self { sockets }) };
            sockets.spawn(listen(socket??, Arc::clone(on_status)));
        }
    }

    /// Ends when the first connection does, which it should not.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.sockets.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(()))) => anyhow!("a live connection was closed"),
            Some(Err(error)) => error.into(),
            None => std::future::pending().await,
        }
    }
}

async fn subscribed(authority: String, subjects: Vec<String>) -> Result<Socket> {
    let connection = timeout(PATIENCE, async {
        let mut socket = connect(&authority).await?;
        subscribe(&mut socket, &subjects).await?;
        Ok(socket)
    });
    connection.await.context("the server does not answer a live connection")?
}

async fn connect(authority: &str) -> Result<Socket> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://{authority}/v1/live").into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("weirgate.v1"));
    // Thousands of them are held at once; the default is 128 KiB each.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    let (mut socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    let hello = next(&mut socket).await?;
    ensure!(serde_json::from_str::<Frame<'_>>(&hello)?.r#type == "hello", "the server began with {hello}");
    Ok(socket)
}

async fn subscribe(socket: &mut Socket, subjects: &[String]) -> Result<()> {
    for subjects in subjects.chunks(SUBSCRIBE_AT_ONCE) {
        let subjects: Vec<_> = subjects.iter().map(|subject| serde_json::json!({ "subject": subject })).collect();
        let frame = serde_json::json!({ "type": "subscribe", "subjects": subjects });
        socket.send(Message::text(frame.to_string())).await?;
    }
    for _ in subjects {
        let answer = next(socket).await?;
        ensure!(serde_json::from_str::<Frame<'_>>(&answer)?.r#type == "snapshot", "not a snapshot: {answer}");
    }
    Ok(())
}

async fn listen(mut socket: Socket, on_status: OnStatus) -> Result<()> {
    loop {
        let text = next(&mut socket).await?;
        let frame: Frame<'_> = serde_json::from_str(&text)?;
        if let (Some(subject), Some(Part { data: Some(seen) })) = (frame.subject, frame.parts.bench) {
            on_status(&subject, seen);
        }
    }
}

/// The next frame of text.
async fn next(socket: &mut Socket) -> Result<tokio_tungstenite::tungstenite::Utf8Bytes> {
    loop {
        match socket.next().await.ok_or_else(|| anyhow!("the server closed a live connection"))?? {
            Message::Text(text) => return Ok(text),
            Message::Close(reason) => bail!("the server closed a live connection: {reason:?}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_shows_the_events_that_the_handler_has_seen() {
        let text = r#"{"type":"delta","subject":"order/o-3","previous":1,"version":5,"parts":{"bench":{"version":5,
            "at_ms":1,"state":"s1","text":"","data":{"seq":9,"count":2}},"other":{"state":"x"}}}"#;
        let frame: Frame<'_> = serde_json::from_str(text).expect("a frame");
        assert_eq!(frame.subject.as_deref(), Some("order/o-3"));
        assert_eq!(frame.parts.bench.and_then(|part| part.data), Some(Seen { seq: 9, count: 2 }));
        let heartbeat: Frame<'_> = serde_json::from_str(r#"{"type":"heartbeat"}"#).expect("a frame");
        assert!(heartbeat.parts.bench.is_none());
    }
}
