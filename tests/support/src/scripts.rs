//! Scripts of other languages' clients, run against a server.

use std::{path::Path, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::Server;

/// Runs a program on a script with the server's URL, writes `input` to it, and returns its output.
///
/// # Panics
/// It fails.
pub async fn run_script(program: &Path, script: &Path, server: &Server, input: &str) -> String {
    let mut command = Command::new(program);
    command.arg(script).arg(server.url("/")).env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    child.stdin.take().expect("its input").write_all(input.as_bytes()).await.expect("written");
    let output = child.wait_with_output().await.expect("its end");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed:\n{shown}", script.display());
    String::from_utf8(output.stdout).expect("text")
}
