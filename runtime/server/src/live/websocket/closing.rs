//! The end of a connection, in order: the close frame is written, the peer answers it, and only then is TCP closed. A socket
//! closed with unread bytes is reset instead, and a reset can destroy a close frame that the peer has not read yet.

use std::time::Duration;

use tokio::time::timeout;

use super::{Received, SocketReader, SocketWriter};

/// How long a peer that reads nothing has to take the rest of a message and the close frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer has to answer a close frame.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer has to close its side of the TCP connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes what the writer holds, the close frame last, and closes the connection. `is_answered`: the peer will not send a
/// close frame any more, or has sent it.
pub async fn close(mut reader: SocketReader, mut writer: SocketWriter, is_answered: bool) {
    let mut is_answered = is_answered;
    if timeout(WRITE_TIMEOUT, write(&mut reader, &mut writer, &mut is_answered)).await.is_ok_and(|is_open| is_open) {
        if !is_answered {
            let _ = timeout(ANSWER_TIMEOUT, answer(&mut reader)).await;
        }
        // Each of these may find that the peer is gone, and then nothing is left to do.
        let _ = timeout(DRAIN_TIMEOUT, async {
            let _ = writer.shutdown().await;
            reader.drain().await;
        })
        .await;
    }
}

/// Writes everything while the peer's messages are ignored, so that a peer which only sends gets to read. Returns whether
/// the connection is still open.
async fn write(reader: &mut SocketReader, writer: &mut SocketWriter, is_answered: &mut bool) -> bool {
    while !writer.is_idle() {
        tokio::select! {
            written = writer.write_some() => if written.is_err() {
                return false;
            },
            received = reader.next(), if !*is_answered => {
                *is_answered = matches!(received, Ok(Received::Close(_)) | Err(_));
            }
        }
    }
    true
}

/// Waits for the peer's close frame.
async fn answer(reader: &mut SocketReader) {
    while !matches!(reader.next().await, Ok(Received::Close(_)) | Err(_)) {}
}
