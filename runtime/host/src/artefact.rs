//! Turns a compiled artefact into a component: the one place in Weirgate that needs `unsafe`.
//!
//! Knows no file. Its caller has to know where the bytes are from.

use wasmtime::{Engine, component::Component};

/// Bytes that this program's own compiler wrote, either just now through a pipe, or earlier into the cache, whose
/// checksum has then been verified. Nobody else's bytes may be put in here.
pub(crate) struct Artefact(pub(crate) Vec<u8>);

impl Artefact {
    /// # Errors
    /// The artefact was made by another engine, or the component cannot live in this engine's pool.
    #[allow(unsafe_code, reason = "deserializing machine code cannot be safe; see the SAFETY comment")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` asks that the bytes are unmodified output of wasmtime's own compiler. They come
        // from our own child process, or from the cache directory, which only this user may enter (mode 0700) and
        // where a SHA-256 of the bytes stands before them and has been compared. wasmtime itself refuses what
        // another version or configuration has compiled.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
