//! The commands, one file a noun.

mod bodies;
mod breakers;
mod dead_letters;
mod deliveries;
mod events;
mod handlers;
mod log;
mod operations;
mod serve;
mod status;
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
        Command::Log(verb) => return log::run(&verb, cli.output),
        // A child of the server: so that a module that is hard to compile takes only the child's time and memory.
        Command::CompileModule => return Ok(weirgate_host::compile_in_this_process()),
        Command::Openapi => {
            println!("{}", weirgate_server::openapi().to_pretty_json()?);
            Ok(())
        }
        Command::Events(verb) => talk(events::run(&server, cli.output, verb)),
        Command::Handlers(verb) => talk(handlers::run(&server, cli.output, verb)),
        Command::Deliveries(verb) => talk(deliveries::run(&server, cli.output, verb)),
        Command::DeadLetters(verb) => talk(dead_letters::run(&server, cli.output, verb)),
        Command::Operations(verb) => talk(operations::run(&server, cli.output, verb)),
        Command::Breakers(verb) => talk(breakers::run(&server, cli.output, verb)),
        Command::Status(verb) => talk(status::run(&server, cli.output, verb)),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Run a conversation with a server to its end.
fn talk(conversation: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(conversation)
}
