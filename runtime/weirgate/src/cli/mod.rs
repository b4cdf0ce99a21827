//! The command line, as a table: noun, then command. What each does is in `commands`.

mod dead_letters;
mod deliveries;
mod handlers;
mod log;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use dead_letters::{Apply, BulkJobs, DeadLetters, ListDeadLetters};
pub use deliveries::{Deliveries, ListDeliveries, Resolve};
pub use handlers::{Breakers, Deploy, Handlers};
pub use log::{Log, Repair};

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

/// Settings come from the file, then from the environment (`WEIRGATE__SERVER__LISTEN`), then from here.
#[derive(Debug, Args)]
pub struct Serve {
    /// A configuration file (docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, for instance 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the log, its views and the modules are kept
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The built demo shop, to be served under /shop/
    #[arg(long, value_name = "DIR")]
    pub shop: Option<PathBuf>,
    /// Start also where acknowledged records are missing from the log, and give them up
    #[arg(long)]
    pub accept_loss: bool,
}

#[derive(Debug, Subcommand)]
pub enum Events {
    /// Publish one event, or a file of them
    Publish(Publish),
}

#[derive(Debug, Args)]
pub struct Publish {
    /// A `CloudEvent` or an array of them, as JSON; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["type", "subject", "data"])]
    pub file: Option<PathBuf>,
    /// What happened, for instance order.placed
    #[arg(long, required_unless_present = "file")]
    pub r#type: Option<String>,
    /// What it happened to, for instance order/o-1
    #[arg(long, required_unless_present = "file")]
    pub subject: Option<String>,
    /// Who says so
    #[arg(long, default_value = "/cli")]
    pub source: String,
    /// Unique per source; sending an id again changes nothing. A random one when not given
    #[arg(long)]
    pub id: Option<String>,
    /// What order is kept for, where it is not the subject
    #[arg(long)]
    pub key: Option<String>,
    /// JSON data
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Status {
    /// Print a subject's status
    Get { subject: String },
    /// Print a subject's status, and every change as it is pushed
    Watch { subject: String },
}
