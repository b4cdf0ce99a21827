//! The sending side of a connection: the frames that wait for the socket. Its owner adds one when the previous ones are
//! written, so it holds one message.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

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
    /// A frame that other connections send as well. It goes out before `bytes`.
    shared: Option<Arc<[u8]>>,
    bytes: Vec<u8>,
    /// How much is written of the first of them.
    written: usize,
}

/// A text's frame, to be sent by several connections.
pub fn text_frame(text: &str) -> Arc<[u8]> {
    let mut frame = Vec::new();
    add_frame(&mut frame, OpCode::Data(Data::Text), text.as_bytes());
    frame.into()
}

fn add_frame(bytes: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, bytes);
    bytes.extend_from_slice(payload);
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub fn new(socket: W) -> Self {
        Self { socket, shared: None, bytes: Vec::new(), written: 0 }
    }

    /// Whether the socket has accepted everything.
    pub fn is_idle(&self) -> bool {
        self.shared.is_none() && self.bytes.is_empty()
    }

    /// Adds a frame of `text_frame`.
    pub fn shared(&mut self, frame: Arc<[u8]>) {
        if self.is_idle() {
            self.shared = Some(frame);
        } else {
            self.bytes.extend_from_slice(&frame);
        }
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
        add_frame(&mut self.bytes, opcode, payload);
    }

    /// Writes what the socket accepts at once, and waits for nothing. Returns whether it accepted something.
    pub async fn write_now(&mut self) -> io::Result<bool> {
        poll_fn(|context| match self.poll_write(context) {
            Poll::Pending => Poll::Ready(Ok(false)),
            Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
        })
        .await
    }

    /// Writes what the socket accepts now, or waits until it accepts something. Dropping the future loses nothing.
    pub async fn write_some(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_write(context)).await
    }

    /// The same, for a task that waits for other things as well.
    pub fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_idle() {
            return Poll::Ready(Ok(()));
        }
        let bytes = self.shared.as_deref().unwrap_or(&self.bytes);
        let (length, left) = (bytes.len(), bytes.get(self.written..).unwrap_or_default());
        let count = ready!(Pin::new(&mut self.socket).poll_write(context, left))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += count;
        if self.written >= length {
            self.written = 0;
            if self.shared.take().is_none() {
                self.bytes.clear();
                self.bytes.shrink_to(KEPT_BYTES_MAX);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Closes this side of the connection. What was written still arrives.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }
}
