//! The receiving side of a connection.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Received, Violation, inbound::Inbound};

const BUFFER_BYTES: usize = 4 * 1024;

pub struct Reader<R> {
    socket: R,
    buffer: Box<[u8]>,
    /// The part of the buffer that was received and not yet taken.
    begin: usize,
    end: usize,
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
    pub fn new(socket: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { socket, buffer, begin: 0, end: 0, inbound: Inbound::default() }
    }

    /// The next message. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Received, Ended> {
        loop {
            let mut input = self.buffer.get(self.begin..self.end).unwrap_or_default();
            let taken = self.inbound.take(&mut input);
            self.begin = self.end - input.len();
            if let Some(received) = taken.map_err(Ended::Violated)? {
                return Ok(received);
            }
            let count = self.socket.read(&mut self.buffer).await.map_err(|_| Ended::Gone)?;
            if count == 0 {
                return Err(Ended::Gone);
            }
            (self.begin, self.end) = (0, count);
        }
    }

    /// Reads until the peer closes its side, and ignores what comes.
    pub async fn drain(&mut self) {
        while self.socket.read(&mut self.buffer).await.is_ok_and(|count| count > 0) {}
    }
}
