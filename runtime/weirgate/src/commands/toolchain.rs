//! Whether this machine can build handlers.

use std::{path::PathBuf, process::Command};

/// The target that components are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// What to do so that handlers can be built; `None` if nothing is missing.
pub fn missing() -> Option<&'static str> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(printed) = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output() else {
        return Some("Rust is missing: see https://rustup.rs");
    };
    let dir = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    let is_there = printed.status.success() && dir.read_dir().is_ok_and(|mut files| files.next().is_some());
    (!is_there).then_some("the target for WebAssembly is missing: rustup target add wasm32-wasip2")
}
