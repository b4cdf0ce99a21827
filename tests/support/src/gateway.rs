//! A service that handlers call: it notes every request, answers as configured, and can be down.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A received request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

/// See the module documentation. It ends with the test's runtime.
#[derive(Clone)]
pub struct Gateway {
    pub port: u16,
    inner: Arc<Inner>,
}

struct Inner {
    requests: Mutex<Vec<Request>>,
    status: AtomicU16,
    /// Requests to paths with this prefix are held until released.
    held: Mutex<Option<String>>,
    release: Notify,
    /// Connections are closed without an answer.
    down: AtomicBool,
}

impl Gateway {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let inner = Arc::new(Inner {
            requests: Mutex::default(),
            status: AtomicU16::new(200),
            held: Mutex::default(),
            release: Notify::new(),
            down: AtomicBool::new(false),
        });
        let serving = Arc::clone(&inner);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                tokio::spawn(async move { inner.serve(stream).await });
            }
        });
        Self { port, inner }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its address for a manifest and a configuration.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.inner.status.store(status, Ordering::SeqCst);
    }

    /// Closes every connection from now on, or no longer.
    pub fn set_down(&self, down: bool) {
        self.inner.down.store(down, Ordering::SeqCst);
    }

    /// Holds the answers to paths with this prefix, or releases the held ones.
    pub fn hold(&self, path: Option<&str>) {
        *self.inner.held.lock().unwrap() = path.map(str::to_owned);
        self.inner.release.notify_waiters();
    }

    /// The requests so far to paths with this prefix.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.inner.requests.lock().unwrap().iter().filter(|request| request.path.starts_with(path)).cloned().collect()
    }

    /// Number of different idempotency keys in requests to a path: what an idempotent service acts on.
    pub fn keys(&self, path: &str) -> usize {
        self.requests(path)
            .iter()
            .map(|request| request.header("idempotency-key").to_owned())
            .collect::<BTreeSet<_>>()
            .len()
    }
}

impl Inner {
    async fn serve(&self, stream: TcpStream) -> Option<()> {
        if self.down.load(Ordering::SeqCst) {
            return None;
        }
        let mut stream = BufReader::new(stream);
        let request = read(&mut stream).await?;
        let (path, reference) = (request.path.clone(), request.header("idempotency-key").to_owned());
        self.requests.lock().unwrap().push(request);
        loop {
            let released = self.release.notified();
            if self.held.lock().unwrap().as_ref().is_none_or(|held| !path.starts_with(held.as_str())) {
                break;
            }
            released.await;
        }
        let status = self.status.load(Ordering::SeqCst);
        // As a payment provider does: the same reference for a repeated request.
        let body = json!({ "status": status, "path": path, "reference": reference }).to_string();
        let head = format!("HTTP/1.1 {status} So\r\ncontent-type: application/json\r\nconnection: close\r\n");
        let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut request = Request { path: line.split(' ').nth(1)?.to_owned(), ..Request::default() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}
