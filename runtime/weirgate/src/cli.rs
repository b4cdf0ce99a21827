//! The command line, as a table: noun, then command. The commands of a noun are defined beside what they do, in `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    breakers::Breakers, bulk_jobs::BulkJobs, dead_letters::DeadLetters, deliveries::Deliveries, events::Events,
    handlers::Handlers, log::Log, serve::Serve, status::Status,
};

/// Event handlers as WebAssembly components, delivered in order, pushed live.
#[derive(Debug, Parser)]
#[command(name = "weirgate", version, arg_required_else_help = true)]
pub struct Cli {
    /// The server that commands talk to
    #[arg(long, global = true, env = "WEIRGATE_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// How to print what commands answer
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
    /// Deploy handlers and look after them
    #[command(subcommand)]
    Handlers(Handlers),
    /// Look at deliveries that have not ended, and decide about them
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// Look at deliveries that could not be made, and decide about one or many
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Look at decisions about many dead letters, and stop them
    #[command(subcommand)]
    BulkJobs(BulkJobs),
    /// Look at the circuit breakers of handlers and called hosts, and open or close them
    #[command(subcommand)]
    Breakers(Breakers),
    /// Read or follow the status of a subject
    #[command(subcommand)]
    Status(Status),
    /// Check and repair the log of a server that does not run
    #[command(subcommand)]
    Log(Log),
    /// Print the OpenAPI document of the server's endpoints
    Openapi,
    /// Compile a component from standard input to standard output; the server runs this as a child of its own
    #[command(hide = true)]
    CompileModule,
}

/// Who decides, and why: kept with the decision.
#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// For whoever asks later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who decides
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    pub actor: Option<String>,
}

/// Corrected data. The event itself stays as it was accepted.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct Corrected {
    /// JSON in place of the event's data
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
    /// A merge patch (RFC 7396) on the data that the delivery gets now
    #[arg(long, value_name = "JSON")]
    pub patch: Option<String>,
}
