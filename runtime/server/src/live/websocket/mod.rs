//! The server's side of RFC 6455: the handshake, the rules for what a peer may send, and reading beside writing. Knows no
//! message of `weirgate.v1`.
//!
//! The wire format of a frame's head is tungstenite's. The rules are here because each broken one has its own close code,
//! and because a connection whose peer does not read must still see that peer's pongs and its close.

mod closing;
mod handshake;
mod inbound;
mod reader;
mod writer;

pub use closing::close;
pub use handshake::{check, is_requested, switching_protocols, unsupported_version};
pub use inbound::{Received, Violation};
pub use reader::{Ended, Reader};
pub use writer::{Writer, text_frame};

use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::{slot::ConnectionSlot, stall::Socket};

/// Maximum size of a client's message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

pub type SocketReader = Reader<OwnedReadHalf>;
pub type SocketWriter = Writer<OwnedWriteHalf>;

/// The two directions of an upgraded connection, and its slot, to be held until both are gone. `None` if it is no connection that
/// this server accepted.
pub fn open(upgraded: Upgraded) -> Option<(SocketReader, SocketWriter, ConnectionSlot)> {
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    // Without the layers of HTTP around it: each costs every message a little.
    let (stream, slot) = io.into_inner().into_parts();
    let (reader, writer) = stream.into_split();
    Some((Reader::new(reader, read_buf.into()), Writer::new(writer), slot))
}

/// The messages in `bytes`, or the rule that they break, when they arrive in pieces of `size` bytes.
#[cfg(feature = "fuzz")]
pub fn messages(bytes: &[u8], size: usize) -> String {
    let (mut inbound, mut messages) = (inbound::Inbound::default(), Vec::new());
    for mut piece in bytes.chunks(size.max(1)) {
        loop {
            match inbound.take(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return format!("{messages:?} {violation:?}"),
            }
        }
    }
    format!("{messages:?}")
}
