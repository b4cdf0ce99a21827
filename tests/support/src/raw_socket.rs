//! A WebSocket client that sends any bytes: for rules of RFC 6455 that a library would keep.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Server, within};

const PATIENCE: Duration = Duration::from_secs(30);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The first bytes of whole frames.
pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The head of a request for a WebSocket, up to its blank line.
pub const HANDSHAKE: &str = "GET /v1/live HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: weirgate.v1\r\n";

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The code of the server's close frame: 1005 if it has none, 1006 without a frame.
    pub code: u16,
    /// Whether TCP was closed, not reset.
    pub in_order: bool,
    /// The frames before.
    pub frames: Vec<RawFrame>,
}

/// A masked frame, its length in the shortest form.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).expect("small")),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 0x7e);
            bytes.extend(u16::try_from(length).expect("small").to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 0x7f);
            bytes.extend(u64::try_from(length).expect("a length").to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A close frame.
pub fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// See the module documentation.
pub struct RawSocket {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    is_reset: bool,
}

impl RawSocket {
    /// Connects, and receives the hello.
    pub async fn connect(server: &Server) -> Self {
        let mut socket = Self { stream: server.connect().await, buffer: Vec::new(), is_reset: false };
        socket.send(format!("{HANDSHAKE}\r\n").as_bytes()).await;
        let head = socket.head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        let hello = socket.frame().await.expect("a hello");
        assert!(hello.first == TEXT && hello.text().starts_with(r#"{"type":"hello""#), "{hello:?}");
        socket
    }

    /// The head of the answer to the handshake.
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head is text");
            }
            assert!(self.more().await, "an answer");
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within("bytes to be taken", PATIENCE, self.stream.write_all(bytes)).await.expect("the connection is open");
    }

    /// Sends in pieces, each in a packet of its own as far as TCP keeps them apart.
    pub async fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            self.send(piece).await;
            tokio::task::yield_now().await;
        }
    }

    /// The next frame; `None` when the connection is closed or reset.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !within("a frame, or the end", PATIENCE, self.more()).await {
                assert!(self.is_reset || self.buffer.is_empty(), "a frame is cut: {:x?}", self.buffer);
                return None;
            }
        }
    }

    /// Whether more bytes came.
    async fn more(&mut self) -> bool {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(count) => count > 0,
            Err(error) => {
                self.is_reset = error.kind() == ErrorKind::ConnectionReset;
                false
            }
        }
    }

    /// Receives until the connection is closed. Answers a close frame, unless the caller has sent one.
    pub async fn end(mut self, answers: bool) -> End {
        let (mut frames, mut code) = (Vec::new(), 1006);
        while let Some(frame) = self.frame().await {
            assert_eq!(code, 1006, "nothing follows a close frame: {frame:?}");
            if frame.first != CLOSE {
                frames.push(frame);
                continue;
            }
            code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            if answers {
                // It may have been reset.
                let _ = self.stream.write_all(&masked(CLOSE, &frame.payload)).await;
            }
        }
        End { code, in_order: !self.is_reset, frames }
    }
}

impl RawFrame {
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("text")
    }
}

/// The first frame in `bytes`, and its length. A server masks nothing.
fn parse(bytes: &[u8]) -> Option<(RawFrame, usize)> {
    let (first, rest) = bytes.split_first()?;
    let (short, rest) = rest.split_first()?;
    assert_eq!(first & 0x70, 0, "a reserved bit is set");
    let (length, rest) = match short {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).expect("a length"), rest)
        }
        short => (usize::from(*short), rest),
    };
    let payload = rest.get(..length)?.to_vec();
    let head = bytes.len() - rest.len();
    Some((RawFrame { first: *first, payload }, head + length))
}
