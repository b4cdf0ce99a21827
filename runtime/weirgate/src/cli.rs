//! The command line, as a table: noun, then command. The commands of a noun are defined with their implementation, in
//! `commands`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    client::Server,
    commands::{
        arguments::Output,
        attempts::{self, Attempts},
        breakers::{self, Breakers},
        bulk_jobs::{self, BulkJobs},
        dead_letters::{self, DeadLetters},
        deliveries::{self, Deliveries},
        dev::{self, Dev},
        events::{self, Events},
        handlers::{self, Handlers},
        log::{self, Log},
        new::{self, New},
        serve::{self, Serve},
        status::{self, Status},
    },
};

/// Event handlers as WebAssembly components, with delivery in order per key and live status
#[derive(Debug, Parser)]
#[command(name = "weirgate", version, arg_required_else_help = true)]
pub struct Cli {
    /// URL of the server
    #[arg(long, global = true, env = "WEIRGATE_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// Output format
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a folder with a first handler, its test and the SDK
    New(New),
    /// Build the handler in this folder, deploy it on every change, and show events, attempts, log lines and statuses
    Dev(Dev),
    /// Run the server
    Serve(Serve),
    /// Publish events
    #[command(subcommand)]
    Events(Events),
    /// Deploy and manage handlers
    #[command(subcommand)]
    Handlers(Handlers),
    /// List and manage open deliveries
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// List finished attempts
    #[command(subcommand)]
    Attempts(Attempts),
    /// List and manage dead letters
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// List and cancel bulk jobs
    #[command(subcommand)]
    BulkJobs(BulkJobs),
    /// List the circuit breakers of handlers and called hosts, and open or reset them
    #[command(subcommand)]
    Breakers(Breakers),
    /// Read or follow the status of a subject
    #[command(subcommand)]
    Status(Status),
    /// Verify and repair the log of a stopped server
    #[command(subcommand)]
    Log(Log),
    /// Print the server's OpenAPI document
    Openapi,
    /// Compile a component from standard input to standard output; the server runs this as a child process
    #[command(hide = true)]
    CompileModule,
}

/// Runs the command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let server = Server::new(&cli.url);
    match cli.command {
        Command::New(command) => new::run(&command, cli.output),
        Command::Dev(command) => talk(dev::run(&server, &cli.url, command)),
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
        Command::Attempts(command) => talk(attempts::run(&server, cli.output, command)),
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
