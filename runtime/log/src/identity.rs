//! The identity of a log: its epoch, which is public, and its salt, which is secret.

use std::{fmt, io};

use weirgate_types::Epoch;

/// Part of every checksum, and the source of the mark at the beginning of each batch. Secret: with it, a payload could be
/// made to look like a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// Given to a log when it is created, and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub epoch: Epoch,
    pub salt: Salt,
}

impl Identity {
    /// Generated from the system's random numbers.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> io::Result<Self> {
        Ok(Self { epoch: Epoch(random_bytes()?), salt: Salt(random_bytes()?) })
    }
}

/// An epoch's number from the system's random numbers.
///
/// # Errors
/// The system has no random numbers.
pub fn random_epoch() -> io::Result<Epoch> {
    Ok(Epoch(random_bytes()?))
}

fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come as a whole or not at all (getrandom(2)).
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got == bytes.len() { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
