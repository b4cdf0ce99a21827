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
pub use writer::Writer;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};

/// Maximum size of a client's message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

pub type SocketReader = Reader<ReadHalf<TokioIo<Upgraded>>>;
pub type SocketWriter = Writer<WriteHalf<TokioIo<Upgraded>>>;

/// The two directions of an upgraded connection.
pub fn open(upgraded: Upgraded) -> (SocketReader, SocketWriter) {
    let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
    (Reader::new(reader), Writer::new(writer))
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
