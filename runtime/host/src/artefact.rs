//! Turns a compiled artefact into a component: the one place in Weirgate that needs `unsafe`.
//!
//! Knows no file. Its caller has to know where the bytes are from.

use wasmtime::{Engine, component::Component};

/// Bytes that this program's own compiler wrote, either just now through a pipe, or earlier into the cache, whose
/// checksum has then been compared. Nobody else's bytes may be put in here.
pub(crate) struct Artefact(pub(crate) Vec<u8>);

impl Artefact {
    /// # Errors
    /// The artefact was made by another engine, or the component cannot live in this engine's pool.
    #[allow(unsafe_code, reason = "deserializing machine code cannot be safe; see the SAFETY comment")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` asks that the bytes are unmodified output of wasmtime's own compiler. They come either
        // from our own child process through a pipe, or from the cache. The cache is a real directory of this user's
        // that nobody else may enter (mode 0700), which is checked when it is opened; a SHA-256 in front of each
        // artefact covers the module's digest, the engine and the bytes, which finds damage and mistaken names. It is
        // no signature: whoever runs as this user could forge it, and could replace this program as well. wasmtime
        // itself compares its version and configuration, no more.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
