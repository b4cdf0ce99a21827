//! Errors of a module, or of the host itself, in words for the person who uploaded it.

use std::{io, path::PathBuf};

use weirgate_types::Digest;

/// The host cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the module directory {path} cannot be used")]
    Dir { path: PathBuf, source: io::Error },
    #[error(
        "the module directory {path} {problem}; it holds compiled code that is executed, so it has to belong to this user"
    )]
    DirNotOurs { path: PathBuf, problem: &'static str },
    #[error("no compile command is set")]
    NoCompiler,
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
}

/// A module is refused, or cannot be loaded. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("not WebAssembly: the file does not begin with `\\0asm`. Upload the .wasm file of the build")]
    NotWasm,
    #[error(
        "a core module, not a component. Build a component: in Rust `cargo build --target wasm32-wasip2`, else `wasm-tools component new`"
    )]
    CoreModule,
    #[error(
        "a component of another world: {0}. Build against a world of `weirgate:handler@0.1.0` (sdk/wit/handler.wit)"
    )]
    OtherWorld(String),
    #[error("the component imports `{name}`, which is not available. Available imports: {}", offered.join(", "))]
    ImportNotOffered { name: String, offered: Vec<String> },
    #[error(
        "an import of the component differs from the contract: {0}. Build against the unchanged sdk/wit/handler.wit"
    )]
    ImportDiffers(String),
    #[error("the module is {bytes} bytes; the maximum is {max}. Build it with optimisation and without debug info")]
    TooLarge { bytes: u64, max: u64 },
    #[error(
        "compiling took more than {seconds_max} s of CPU time, or twice that of wall time. Make the module smaller"
    )]
    CompileTime { seconds_max: u64 },
    #[error("compiling took more than {} MiB of memory. Make the module smaller", bytes_max >> 20)]
    CompileMemory { bytes_max: u64 },
    #[error("the module does not compile: {0}")]
    CompileFailed(String),
    #[error("the component traps when it starts, before any event: {0}")]
    TrapsAtStart(String),
    #[error("the component exceeds a limit at its start: {0}")]
    StartLimit(String),
    #[error("module {0} is missing. Upload it again")]
    Missing(Digest),
    #[error("module {digest} is damaged on disk: its bytes have another digest. Upload it again")]
    Damaged { digest: Digest },
    #[error("{doing} {path} failed")]
    Storage { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the compiler cannot be run: {0}")]
    CompilerUnavailable(String),
    #[error("too many calls are running to test the component. Upload it again later")]
    Busy,
}

impl ModuleError {
    /// A stable code for programs.
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

    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Storage { source, .. } if weirgate_types::is_out_of_space(source))
    }

    /// Whether the module is the cause, and not this machine.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        !matches!(self, Self::Damaged { .. } | Self::Storage { .. } | Self::CompilerUnavailable(_) | Self::Busy)
    }
}
