//! The floor of status push: a process that speaks as much of `weirgate.v1` as the driver needs, on tokio-tungstenite and nothing
//! else. It has no log, no handler and no subjects; two bytes on a connection of its own make it send one delta, to all
//! connections or to one.

use std::{io::Write as _, net::TcpStream as BlockingStream, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BytesMut};
use clap::ValueEnum;
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

/// Who gets a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deltas {
    /// All connections.
    Shared,
    /// One connection.
    Own,
}

impl Deltas {
    fn argument(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Own => "own",
        }
    }
}

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
    pub async fn start(place: &Place, deltas: Deltas) -> Result<Self> {
        std::fs::create_dir_all(&place.work_dir)?;
        let dir = tempfile::Builder::new().prefix("floor-").tempdir_in(&place.work_dir)?;
        let (live, publish) = (free_port()?, free_port()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-floor", &live.to_string(), &publish.to_string(), deltas.argument()]);
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
        self.publish_to(&[0])
    }

    /// Has a delta sent to each of these connections, by their number, if each has deltas of its own.
    ///
    /// # Errors
    /// It is gone.
    pub fn publish_to(&mut self, connections: &[u16]) -> Result<()> {
        Ok(self.publish.write_all(&connections.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>())?)
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
pub async fn serve(live: u16, publish: u16, deltas: Deltas) -> Result<()> {
    let live = TcpListener::bind((HOST, live)).await?;
    let (mut publisher, _) = TcpListener::bind((HOST, publish)).await?.accept().await?;
    let (mut connections, mut number, mut read) = (JoinSet::new(), 0_u64, BytesMut::new());
    let mut senders = vec![broadcast::channel(WAITING_MAX).0];
    loop {
        tokio::select! {
            accepted = live.accept() => {
                let sender = senders.last().context("there is one at the beginning")?;
                connections.spawn(connection(accepted?.0, sender.subscribe()));
                if deltas == Deltas::Own {
                    senders.push(broadcast::channel(WAITING_MAX).0);
                }
            }
            count = publisher.read_buf(&mut read) => {
                ensure!(count? > 0, "the driver is gone");
                while let Ok(connection) = read.try_get_u16() {
                    number += 1;
                    let sender = senders.get(usize::from(connection)).context("there is no such connection")?;
                    // An error means that there is no connection.
                    let _ = sender.send(delta(number));
                }
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
