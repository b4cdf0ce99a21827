//! The compiling process as a program, for this crate's tests and benches. The server uses its own hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    weirgate_host::compile_in_this_process()
}
