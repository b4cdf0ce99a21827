//! What can be wrong with a module, or with the host itself, in words for the person who uploaded it.

use std::{io, path::PathBuf};

use weirgate_types::Digest;

/// The host cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the module directory {path} cannot be used")]
    Dir { path: PathBuf, source: io::Error },
    #[error(
        "the module directory {path} {problem}; compiled code lies there and is run, so it has to be a directory of this user's own"
    )]
    DirNotOurs { path: PathBuf, problem: &'static str },
    #[error("no compile command is set")]
    NoCompiler,
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
}

/// A module is not taken, or cannot be loaded. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("not WebAssembly: the file does not begin with `\\0asm`. Upload the .wasm file that the build made")]
    NotWasm,
    #[error(
        "a core module, not a component. Build a component: in Rust `cargo build --target wasm32-wasip2`, else `wasm-tools component new`"
    )]
    CoreModule,
    #[error(
        "a component of another world: {0}. Build against a world of `weirgate:handler@0.1.0` (sdk/wit/handler.wit)"
    )]
    OtherWorld(String),
    #[error("the component imports `{name}`, which is not offered. Offered are {}", offered.join(", "))]
    ImportNotOffered { name: String, offered: Vec<String> },
    #[error("an import of the component differs from what is offered: {0}. Build against sdk/wit/handler.wit as it is")]
    ImportDiffers(String),
    #[error("the module is {bytes} bytes; at most {max} are taken. Build it with optimisation and without debug info")]
    TooLarge { bytes: u64, max: u64 },
    #[error(
        "compiling took more than {seconds_max} s of CPU time, or twice that by the clock. Make the module smaller"
    )]
    CompileTime { seconds_max: u64 },
    #[error("compiling took more than {} MiB of memory. Make the module smaller", bytes_max >> 20)]
    CompileMemory { bytes_max: u64 },
    #[error("the module does not compile: {0}")]
    CompileFailed(String),
    #[error("the component traps when it starts, before any event: {0}")]
    TrapsAtStart(String),
    #[error("the component needs more to start than it may have: {0}")]
    StartLimit(String),
    #[error("module {0} is not here. Upload it again")]
    Missing(Digest),
    #[error("module {digest} is damaged on disk: its bytes have another digest. Upload it again")]
    Damaged { digest: Digest },
    #[error("{doing} {path} failed")]
    Storage { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the compiler cannot be run: {0}")]
    CompilerUnavailable(String),
    #[error("too many calls are under way to try the component. Upload it again in a moment")]
    Busy,
}

impl ModuleError {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotWasm => "not-webassembly",
            Self::CoreModule => "core-module",
            Self::OtherWorld(_) => "other-world",
            Self::ImportNotOffered { .. } => "import-not-offered",
            Self::ImportDiffers(_) => "import-differs",
            Self::TooLarge { .. } => "module-too-large",
            Self::CompileTime { .. } => "compile-time-exceeded",
            Self::CompileMemory { .. } => "compile-memory-exceeded",
            Self::CompileFailed(_) => "compile-failed",
            Self::TrapsAtStart(_) => "traps-at-start",
            Self::StartLimit(_) => "start-limit-exceeded",
            Self::Missing(_) => "module-missing",
            Self::Damaged { .. } => "module-damaged",
            Self::Storage { .. } => "storage-failed",
            Self::CompilerUnavailable(_) => "compiler-unavailable",
            Self::Busy => "busy",
        }
    }

    /// Whether the disk has no room for it.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Storage { source, .. } if kinds.contains(&source.kind()))
    }

    /// Whether the module is to blame, and not the machine it was sent to.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        !matches!(self, Self::Damaged { .. } | Self::Storage { .. } | Self::CompilerUnavailable(_) | Self::Busy)
    }
}
