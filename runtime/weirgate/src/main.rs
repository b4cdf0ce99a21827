//! The binary: configuration, wiring and the command line. Knows no rule of its own.

mod cli;
mod client;
mod commands;
mod configuration;
mod descriptors;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

// A quarter less CPU an event than with the system's, measured in pairs; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            // One line that says what went wrong; a hint, where there is one, on a line of its own.
            eprintln!("error: {error:#}");
            if let Some(hint) = client::hint(&error) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
