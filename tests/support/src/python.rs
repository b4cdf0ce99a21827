//! The Python programs that tests run, pinned in `tests/e2e/python/requirements.txt`.

use std::path::{Path, PathBuf};

/// A program of the tests' Python environment, for instance `python3` or `schemathesis`. `WEIRGATE_PYTHON` names the
/// environment if it is not in `target/python`.
///
/// # Panics
/// It is not installed.
pub fn python_program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let environment = std::env::var_os("WEIRGATE_PYTHON").map_or_else(|| root.join("target/python"), PathBuf::from);
    let program = environment.join("bin").join(name);
    assert!(program.exists(), "{} is not installed; `make test` installs it", program.display());
    program
}
