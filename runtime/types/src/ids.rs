//! Names and numbers with a meaning: positions, handler names, module digests, key hashes.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

/// A position in the log. Positions are dense: each is one more than the previous one. The first is 1; 0 means before the
/// first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The maximum position has itself as its next one.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The position before this one; 0 stays 0.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("a handler's name is 1 to 64 of a-z, 0-9 and '-', and begins with a letter; got {0:?}")]
    HandlerName(String),
    #[error("a module's digest is 'sha256:' and 64 hexadecimal digits, or at least the first 4 of them; got {0:?}")]
    Digest(String),
    #[error("what is approved is named by its whole digest, 'sha256:' and 64 hexadecimal digits; got {0:?}")]
    WholeDigest(String),
    #[error("a delivery's id is <handler>@<position>, for instance inventory@42; got {0:?}")]
    DeliveryId(String),
    #[error("a replay's id is a position, for instance 42, or 42-undo for its undo; got {0:?}")]
    Replay(String),
}

/// A handler's name: 1 to 64 of `a-z`, `0-9`, `-`, beginning with a letter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HandlerName(Arc<str>);

impl HandlerName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HandlerName {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        let all_well = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts_well && all_well && name.len() <= 64 {
            Ok(Self(name.into()))
        } else {
            Err(IdError::HandlerName(name.chars().take(80).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for HandlerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Records name handlers often, so the text is not copied twice.
        struct Name;

        impl serde::de::Visitor<'_> for Name {
            type Value = HandlerName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<HandlerName, E> {
                name.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a module: the SHA-256 of its bytes, written `sha256:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Only the hexadecimal digits, suitable as a file name.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The digest of what is approved, which may not be shortened: it is the approval of nothing else.
    ///
    /// # Errors
    /// The text is not a whole digest.
    pub fn whole(text: &str) -> Result<Self, IdError> {
        text.parse().map_err(|_| IdError::WholeDigest(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| IdError::Digest(text.chars().take(80).collect()))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A key in the delivery machine: 64 bits of a keyed hash, see [`KeyHasher`]. Two keys with one hash share a lane, which
/// only makes them wait for each other: elsewhere the key itself is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(pub u64);

/// Hashes keys with `SipHash-2-4` (<https://doi.org/10.1007/978-3-642-34931-7_28>) under a secret of the log, so that
/// outsiders cannot choose two keys with one hash. Not part of the log format; the views that hold hashes can be rebuilt.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyHasher([u8; 16]);

impl KeyHasher {
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    #[must_use]
    pub fn hash(&self, key: &str) -> KeyHash {
        KeyHash(SipHasher24::new_with_key(&self.0).hash(key.as_bytes()))
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handler_names_are_checked() {
        for good in ["a", "inventory", "send-mail-2"] {
            assert_eq!(good.parse::<HandlerName>().expect("a good name").as_str(), good);
        }
        for bad in ["", "2fast", "Inventory", "a b", "a/b", "ü", &"a".repeat(65)] {
            assert!(bad.parse::<HandlerName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_hashes_differently_under_each_secret() {
        let [one, other] = [[1; 16], [2; 16]].map(KeyHasher::new);
        assert_eq!(one.hash("order/o-1"), KeyHasher::new([1; 16]).hash("order/o-1"));
        assert_ne!(one.hash("order/o-1"), one.hash("order/o-2"));
        assert_ne!(one.hash("order/o-1"), other.hash("order/o-1"));
        // The test vector of the paper's appendix begins with the empty message.
        let secret = std::array::from_fn(|index| u8::try_from(index).expect("small"));
        assert_eq!(KeyHasher::new(secret).hash(""), KeyHash(0x726f_db47_dd0e_0e31));
    }

    #[test]
    fn a_digest_is_parsed_from_its_text() {
        let digest = Digest([7; 32]);
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert!("sha256:12".parse::<Digest>().is_err());
        assert_eq!(Digest::whole(&digest.to_string()), Ok(digest));
        assert_eq!(Digest::whole("07070707"), Err(IdError::WholeDigest("07070707".into())));
    }
}
