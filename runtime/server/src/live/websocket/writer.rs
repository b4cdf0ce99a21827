//! The sending side of a connection: the frames that wait for the socket. Its owner adds one when the previous ones are
//! written, so it holds one message.

use std::{future::poll_fn, io, pin::pin, task::Poll};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Memory that is kept for the next message, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// Maximum length of a close frame's reason, in bytes.
const REASON_BYTES_MAX: usize = 123;

pub struct Writer<W> {
    socket: W,
    bytes: Vec<u8>,
    written: usize,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub fn new(socket: W) -> Self {
        Self { socket, bytes: Vec::new(), written: 0 }
    }

    /// Whether the socket has accepted everything.
    pub fn is_idle(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn text(&mut self, text: &str) {
        self.frame(OpCode::Data(Data::Text), text.as_bytes());
    }

    pub fn ping(&mut self, payload: &[u8]) {
        self.frame(OpCode::Control(Control::Ping), payload);
    }

    pub fn pong(&mut self, payload: &[u8]) {
        self.frame(OpCode::Control(Control::Pong), payload);
    }

    /// Adds a close frame, with a code unless the peer sent none either.
    pub fn close(&mut self, code: Option<u16>, reason: &str) {
        let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default();
        let payload = code.map(|code| [&code.to_be_bytes(), reason.as_bytes()].concat());
        self.frame(OpCode::Control(Control::Close), &payload.unwrap_or_default());
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        // Writing to memory does not fail.
        let _ = header.format(payload.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(payload);
    }

    /// Writes what the socket accepts at once, and waits for nothing. Returns whether it accepted something.
    pub async fn write_now(&mut self) -> io::Result<bool> {
        let mut written = pin!(self.write_some());
        poll_fn(|context| match written.as_mut().poll(context) {
            Poll::Pending => Poll::Ready(Ok(false)),
            Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
        })
        .await
    }

    /// Writes what the socket accepts now, or waits until it accepts something. Dropping the future loses nothing.
    pub async fn write_some(&mut self) -> io::Result<()> {
        let count = self.socket.write(self.bytes.get(self.written..).unwrap_or_default()).await?;
        if count == 0 && !self.is_idle() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += count;
        if self.written >= self.bytes.len() {
            self.written = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
        Ok(())
    }

    /// Closes this side of the connection. What was written still arrives.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }
}
