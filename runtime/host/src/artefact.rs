//! Turns a compiled artefact into a component: the only place in Weirgate that needs `unsafe`.
//!
//! Knows no file. The caller has to know where the bytes come from.

use wasmtime::{Engine, component::Component};

/// Bytes written by this program's own compiler, either just now through a pipe, or earlier into the cache, whose checksum
/// has then been verified. Bytes from any other source must not be passed in here.
pub(crate) struct Artefact(pub(crate) Vec<u8>);

impl Artefact {
    /// # Errors
    /// The artefact was made by another engine, or the component does not fit this engine's pool.
    #[allow(unsafe_code, reason = "deserializing machine code cannot be safe; see the SAFETY comment")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` requires that the bytes are unmodified output of wasmtime's own compiler. They come either
        // from our own child process through a pipe, or from the cache. The cache is a real directory of this user that no
        // other user may enter (mode 0700), which is checked when it is opened; a SHA-256 in front of each artefact covers
        // the module's digest, the engine and the bytes, which detects damage and wrong names. It is no signature: a process
        // of this user could forge it, but could replace this program as well. wasmtime itself only compares its version and
        // configuration.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
