//! The binary: configuration, wiring and the command line. Has no logic of its own.

mod cli;
mod client;
mod commands;
mod configuration;
mod descriptors;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

// A quarter less CPU per event than with the system's allocator, measured in pairs; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            // One line for the error; a hint, if there is one, on its own line.
            eprintln!("error: {error:#}");
            if let Some(hint) = client::hint(&error) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
