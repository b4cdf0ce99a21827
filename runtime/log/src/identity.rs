//! What makes one log this log and no other: its epoch, which everybody may know, and its salt, which nobody needs to.

use std::{fmt, io};

use weirgate_types::Epoch;

/// Mixed into every checksum, and the mark that each batch begins with. Not to be shown: who knows it can write a payload
/// that looks like a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// What a log gets when it is created, and keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub epoch: Epoch,
    pub salt: Salt,
}

impl Identity {
    /// From the system's random numbers.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn random() -> io::Result<Self> {
        Ok(Self { epoch: Epoch(random_bytes()?), salt: Salt(random_bytes()?) })
    }
}

/// An epoch's number from the system's random numbers.
///
/// # Errors
/// The system has none to give.
pub fn random_epoch() -> io::Result<Epoch> {
    Ok(Epoch(random_bytes()?))
}

fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole or not at all (getrandom(2)).
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got == bytes.len() { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
