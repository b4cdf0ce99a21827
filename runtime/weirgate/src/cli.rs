//! The command line, as a table: noun, then command. The commands of a noun are defined with their implementation, in
//! `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    breakers::Breakers, bulk_jobs::BulkJobs, dead_letters::DeadLetters, deliveries::Deliveries, events::Events,
    handlers::Handlers, log::Log, serve::Serve, status::Status,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
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

/// Actor and reason, recorded with the command.
#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// The reason, recorded with the command
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who decides
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    pub actor: Option<String>,
}

/// Corrected data. The event itself does not change.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct Corrected {
    /// JSON that replaces the event's data
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
    /// A merge patch (RFC 7396) on the delivery's present data
    #[arg(long, value_name = "JSON")]
    pub patch: Option<String>,
}
