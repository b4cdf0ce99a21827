//! JSON that a test reads as a type.

use serde::de::DeserializeOwned;

/// The value in `json`; the test fails, and says what `name` is, if it is of another type.
#[track_caller]
pub(super) fn typed<T: DeserializeOwned>(json: &[u8], name: &str) -> T {
    serde_json::from_slice(json).unwrap_or_else(|error| {
        panic!("{name} is no {}: {error}: {}", std::any::type_name::<T>(), String::from_utf8_lossy(json))
    })
}
