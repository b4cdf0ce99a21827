//! A small web server for the tests of outbound calls. The end of a request's path selects its behaviour, and it remembers
//! all requests and connections.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::json;

/// A received request, with header names in lower case.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Log {
    connections: usize,
    asked: Vec<Asked>,
}

/// Listens on all addresses of this machine until the program ends.
pub struct Web {
    pub port: u16,
    log: Arc<Mutex<Log>>,
}

impl Web {
    pub fn start() -> Self {
        // If the machine has IPv6, this accepts IPv4 too.
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| TcpListener::bind("0.0.0.0:0"));
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let log = Arc::new(Mutex::new(Log::default()));
        let seen = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.lock().expect("no panic").connections += 1;
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(&stream, &seen));
            }
        });
        Self { port, log }
    }

    /// Number of connections.
    pub fn connections(&self) -> usize {
        self.log.lock().expect("no panic").connections
    }

    /// The requests whose path begins with this prefix.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.log.lock().expect("no panic").asked.iter().filter(|asked| asked.path.starts_with(path)).cloned().collect()
    }

    pub fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let (method, rest) = first.split_once(' ')?;
    let path = rest.split(' ').next()?.to_owned();
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, length)| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    lines.read_exact(&mut body).ok()?;
    Some(Asked { method: method.into(), path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn serve(mut stream: &TcpStream, log: &Mutex<Log>) -> Option<()> {
    let asked = read(stream)?;
    log.lock().expect("no panic").asked.push(asked.clone());
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mut parts = path.rsplit('/');
    let (last, before) = (parts.next()?, parts.next().unwrap_or_default());
    let number = last.parse::<u16>().unwrap_or(200);
    match (before, last) {
        (_, "echo") => {
            let seen =
                json!({"method": asked.method, "path": asked.path, "headers": asked.headers, "body": asked.body});
            let repeated = asked.header("authorization").unwrap_or_default();
            answer(stream, 200, &format!("x-repeated: {repeated}\r\n"), seen.to_string().as_bytes())
        }
        ("status", _) => answer(stream, number, "retry-after: 7\r\n", b"so it is"),
        ("redirect", _) => answer(stream, number, &format!("location: {query}\r\n"), b"elsewhere"),
        ("bytes", length) => answer(stream, 200, "", &vec![b'x'; length.parse().ok()?]),
        ("headers", length) => answer(stream, 200, &format!("x-long: {}\r\n", "x".repeat(length.parse().ok()?)), b""),
        (_, "endless") => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
            while stream.write_all(b"3e8\r\n").and_then(|()| stream.write_all(&[b'x'; 1_000])).is_ok() {
                stream.write_all(b"\r\n").ok()?;
            }
            None
        }
        (_, "drip") => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").ok()?;
            while stream.write_all(b"x").is_ok() {
                thread::park_timeout(Duration::from_millis(20));
            }
            None
        }
        (_, "silent") => {
            // Until the other side closes.
            let _ = stream.read(&mut [0]);
            None
        }
        (_, "gone") => None,
        _ => answer(stream, 404, "", b"no such thing"),
    }
}

fn answer(mut stream: &TcpStream, status: u16, headers: &str, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).ok()
}
