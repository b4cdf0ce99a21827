//! The compiling process alone, for this crate's tests and benches. The server brings its own as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    weirgate_host::compile_in_this_process()
}
