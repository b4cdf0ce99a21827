//! Entries, and changes of them: what may be written.

use crate::{error::ViewError, table::Tables};

/// Maximum length of a key, in bytes.
pub const KEY_BYTES_MAX: usize = 2048;
/// Maximum length of a value, in bytes. Larger ones stay in the log, with their position here.
pub const VALUE_BYTES_MAX: usize = 4096;

/// A key and its value.
pub type ViewEntry = (Vec<u8>, Vec<u8>);

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Vec<u8>,
    /// `None` removes the key.
    pub value: Option<Vec<u8>>,
    /// Nothing older has the key, so that removing it before it was flushed leaves nothing to write.
    pub(crate) is_new: bool,
}

impl Change {
    /// Give the key a value, whether or not it has one.
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: Some(value.into()), is_new: false }
    }

    /// Give a value to a key that the caller knows to have none. When it is removed again before it was flushed, the store
    /// never hears of it. If the key has a value, the removed value reappears.
    pub fn insert_new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { is_new: true, ..Self::put(key, value) }
    }

    /// Remove the key, whether or not it has a value.
    pub fn remove(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: None, is_new: false }
    }

    pub(crate) fn check(&self, tables: &Tables) -> Result<(), ViewError> {
        let (key, value_bytes) = (self.key.as_slice(), self.value.as_ref().map_or(0, Vec::len));
        match key.first() {
            Some(name) if *name > 0 && key.len() <= KEY_BYTES_MAX => {
                if !tables.hold(key) {
                    return Err(ViewError::Table { name: *name });
                }
            }
            _ => return Err(ViewError::Key { bytes: key.len(), max: KEY_BYTES_MAX }),
        }
        if value_bytes > VALUE_BYTES_MAX {
            return Err(ViewError::ValueTooLarge { bytes: value_bytes, max: VALUE_BYTES_MAX });
        }
        Ok(())
    }
}
