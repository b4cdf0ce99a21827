//! The commands, one file per noun.

mod bodies;
pub mod breakers;
pub mod bulk_jobs;
pub mod dead_letters;
pub mod deliveries;
pub mod events;
pub mod handlers;
pub mod log;
pub mod serve;
pub mod status;
mod table;

use std::process::ExitCode;

pub use bodies::Body;

use anyhow::Result;

use crate::{
    cli::{Cli, Command},
    client::Server,
};

pub fn run(cli: Cli) -> Result<ExitCode> {
    let server = Server::new(&cli.url);
    match cli.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Log(command) => return log::run(&command, cli.output),
        // A child of the server, so that a module that is hard to compile affects only the child's time and memory.
        Command::CompileModule => return Ok(weirgate_host::compile_in_this_process()),
        Command::Openapi => {
            println!("{}", weirgate_server::openapi().to_pretty_json()?);
            Ok(())
        }
        Command::Events(command) => talk(events::run(&server, cli.output, command)),
        Command::Handlers(command) => talk(handlers::run(&server, cli.output, command)),
        Command::Deliveries(command) => talk(deliveries::run(&server, cli.output, command)),
        Command::DeadLetters(command) => talk(dead_letters::run(&server, cli.output, command)),
        Command::BulkJobs(command) => talk(bulk_jobs::run(&server, cli.output, command)),
        Command::Breakers(command) => talk(breakers::run(&server, cli.output, command)),
        Command::Status(command) => talk(status::run(&server, cli.output, command)),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the requests of a command to their end.
fn talk(conversation: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(conversation)
}
