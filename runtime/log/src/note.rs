//! The note of the durable head: up to where the log was acknowledged, in a file beside the segments.
//!
//! It is rewritten after each sync and never synced, so it costs one small write. The kernel keeps it when the process is
//! killed, and then it is exact. After a power cut it may be older; it is never newer than the durable head. So a log that
//! ends before the noted head has lost acknowledged records.

use crc32c::crc32c;
use weirgate_types::Position;

use crate::Epoch;

const MAGIC: [u8; 8] = *b"WEIRHEAD";
pub const BYTES: usize = 52;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// The log's first epoch, which identifies it.
    pub log: Epoch,
    /// The epoch in force.
    pub epoch: Epoch,
    /// The last durable position.
    pub head: Position,
}

impl Note {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &self.log.0, &self.epoch.0, &self.head.0.to_le_bytes()].concat();
        let checksum = crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a sound note: they prove nothing.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.get(..BYTES)?.split_last_chunk::<4>()?;
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (log, rest) = rest.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (head, _) = rest.split_first_chunk::<8>()?;
        let sound = *magic == MAGIC && u32::from_le_bytes(*checksum) == crc32c(body);
        sound.then(|| Self { log: Epoch(*log), epoch: Epoch(*epoch), head: Position(u64::from_le_bytes(*head)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_written_or_not_at_all() {
        let note = Note { log: Epoch([1; 16]), epoch: Epoch([2; 16]), head: Position(77) };
        let bytes = note.encode();
        assert_eq!((bytes.len(), Note::decode(&bytes)), (BYTES, Some(note)));
        for bit in 0..BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Note::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(Note::decode(&bytes[..BYTES - 1]), None);
    }
}
