//! What a server has executed is executed again after each test: its log has to hold everything that the attempts depended on.

use std::{path::Path, process::Command};

use serde_json::Value;

/// Executes all attempts in the log of a data directory again. A log that cannot be read is left to the test.
///
/// # Panics
/// An attempt comes to another result.
pub fn verify(binary: &Path, data: &Path) {
    let mut command = Command::new(binary);
    command.args(["--output", "json", "replays", "verify", "--data"]).arg(data);
    let output = command.output().expect("the program runs");
    let Ok(verified) = serde_json::from_slice::<Value>(&output.stdout) else {
        return eprintln!("not executed again: {}", String::from_utf8_lossy(&output.stderr).trim());
    };
    assert!(output.status.success(), "attempts came to another result when they were executed again: {verified:#}");
    eprintln!("executed again: {}, not reproducible: {}", verified["executed"], verified["not_reproducible"]);
}
