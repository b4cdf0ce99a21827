//! The receiving side of a connection.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Received, Violation, inbound::Inbound};

/// Maximum number of bytes that are read at once.
const READ_BYTES: usize = 4 * 1024;

/// Holds no buffer while nothing arrives: most connections are idle most of the time.
pub struct Reader<R> {
    socket: R,
    /// The bytes that were read last.
    bytes: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
    inbound: Inbound,
}

/// Why nothing more is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The connection is closed or broken.
    Gone,
    Violated(Violation),
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// `bytes` came before the others.
    pub fn new(socket: R, bytes: Vec<u8>) -> Self {
        Self { socket, bytes, taken: 0, inbound: Inbound::default() }
    }

    /// The next message. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Received, Ended> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same, for a task that waits for other things as well.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, Ended>> {
        loop {
            let mut input = self.bytes.get(self.taken..).unwrap_or_default();
            let message = self.inbound.take(&mut input);
            self.taken = self.bytes.len() - input.len();
            if let Some(received) = message.map_err(Ended::Violated)? {
                return Poll::Ready(Ok(received));
            }
            (self.bytes, self.taken) = (Vec::new(), 0);
            match ready!(self.poll_read(context)) {
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) => return Poll::Ready(Err(Ended::Gone)),
            }
        }
    }

    /// Reads into a buffer on the stack, and keeps what was read.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
        self.bytes = read.filled().to_vec();
        Poll::Ready(Ok(self.bytes.len()))
    }

    /// Reads until the peer closes its side, and ignores what comes.
    pub async fn drain(&mut self) {
        while poll_fn(|context| self.poll_read(context)).await.is_ok_and(|count| count > 0) {}
    }
}
