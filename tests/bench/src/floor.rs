//! The floor of status push: a process that speaks as much of `weirgate.v1` as the driver needs, on tokio-tungstenite and nothing
//! else. It has no log, no handler and no subjects; a byte on a connection of its own makes it send one delta to all.

use std::{io::Write as _, net::TcpStream as BlockingStream, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
        protocol::WebSocketConfig,
    },
};

use crate::server::{Place, Running, free_port};

const HOST: &str = "127.0.0.1";
/// How long it may take to start.
const START: Duration = Duration::from_secs(20);
/// Deltas that wait for a connection; the next is sent when all have the last.
const WAITING_MAX: usize = 16;

/// The running process.
pub struct Floor {
    running: Running,
    pub authority: String,
    publish: BlockingStream,
    _dir: TempDir,
}

impl Floor {
    /// Starts one.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(place: &Place) -> Result<Self> {
        std::fs::create_dir_all(&place.work_dir)?;
        let dir = tempfile::Builder::new().prefix("floor-").tempdir_in(&place.work_dir)?;
        let (live, publish) = (free_port()?, free_port()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-floor", &live.to_string(), &publish.to_string()]);
        let running = Running::start(&mut command, &dir.path().join("floor.log"))?;
        let publish = timeout(START, connected(publish)).await.context("the floor does not start")?;
        Ok(Self { running, authority: format!("{HOST}:{live}"), publish, _dir: dir })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Has a delta sent to all connections.
    ///
    /// # Errors
    /// It is gone.
    pub fn publish(&mut self) -> Result<()> {
        Ok(self.publish.write_all(&[1])?)
    }
}

async fn connected(port: u16) -> BlockingStream {
    loop {
        if let Ok(stream) = BlockingStream::connect((HOST, port)) {
            return stream;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Serves until it is killed.
///
/// # Errors
/// A port is taken, or the driver is gone.
pub async fn serve(live: u16, publish: u16) -> Result<()> {
    let (deltas, _) = broadcast::channel(WAITING_MAX);
    let live = TcpListener::bind((HOST, live)).await?;
    let (mut publisher, _) = TcpListener::bind((HOST, publish)).await?.accept().await?;
    let (mut connections, mut number, mut byte) = (JoinSet::new(), 0_u64, [0]);
    loop {
        tokio::select! {
            accepted = live.accept() => drop(connections.spawn(connection(accepted?.0, deltas.subscribe()))),
            count = publisher.read(&mut byte) => {
                ensure!(count? > 0, "the driver is gone");
                number += 1;
                // An error means that there is no connection.
                let _ = deltas.send(delta(number));
            }
            Some(ended) = connections.join_next() => ended??,
        }
    }
}

async fn connection(stream: TcpStream, mut deltas: broadcast::Receiver<Utf8Bytes>) -> Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    let mut socket = accept_hdr_async_with_config(stream, in_protocol, Some(config)).await?;
    socket.send(Message::text(r#"{"type":"hello"}"#)).await?;
    loop {
        let text = tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Text(_))) => Utf8Bytes::from_static(r#"{"type":"snapshot"}"#),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Ok(()),
            },
            delta = deltas.recv() => delta?,
        };
        socket.send(Message::Text(text)).await?;
    }
}

#[expect(clippy::unnecessary_wraps, clippy::result_large_err, reason = "the type of a handshake's callback")]
fn in_protocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("weirgate.v1"));
    Ok(response)
}

/// As long as the server's.
fn delta(number: u64) -> Utf8Bytes {
    let part = format!(
        r#"{{"version":{number},"at_ms":1764443000000,"state":"s1","text":"","data":{{"seq":{number},"count":{number}}}}}"#
    );
    format!(
        r#"{{"type":"delta","subject":"order/o-0","previous":{number},"version":{number},"parts":{{"bench":{part}}}}}"#
    )
    .into()
}
