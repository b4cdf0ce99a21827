//! A service that counts the requests of handlers, and answers each.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

/// Ends when it is dropped.
pub struct Listener {
    port: u16,
    calls: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Listener {
    /// # Errors
    /// There is no port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, calls) = (listener.local_addr()?.port(), Arc::<AtomicUsize>::default());
        let (counted, mut accepting) = (Arc::clone(&calls), JoinSet::new());
        accepting.spawn(async move {
            let mut answering = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                answering.spawn(answer(stream));
                while answering.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, calls, _accepting: accepting })
    }

    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Number of connections so far; each is for one request.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Reads the head of a request without a body.
async fn answer(stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.ok()? > 2 {
        line.clear();
    }
    stream.write_all(ANSWER).await.ok()?;
    stream.flush().await.ok()
}
