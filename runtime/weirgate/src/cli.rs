//! The command line, as a table: noun, then verb. What each does is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Look at deliveries that have not ended
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// Look at deliveries that could not be made, and open them again
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Read or follow the status of a subject
    #[command(subcommand)]
    Status(Status),
    /// Print the OpenAPI document of the server's doors
    Openapi,
    /// Compile a component from standard input to standard output; the server runs this as a child of its own
    #[command(hide = true)]
    CompileModule,
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
pub enum Handlers {
    /// Upload a handler's component and deploy it by its manifest
    Deploy(Deploy),
    /// List handlers and how they stand
    List,
    /// Hold a handler's new attempts back
    Pause { name: String },
    /// Let a paused handler go on
    Resume { name: String },
}

#[derive(Debug, Args)]
pub struct Deploy {
    /// Manifests (handler.toml)
    #[arg(required = true, value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,
    /// Where the components are; by default beside their manifests
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List open deliveries
    List {
        #[arg(long)]
        handler: Option<String>,
        #[arg(long)]
        key: Option<String>,
        /// ready, running, retrying or parked-behind
        #[arg(long)]
        state: Option<String>,
        #[arg(long)]
        limit: Option<usize>,
    },
}

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters
    List {
        #[arg(long)]
        handler: Option<String>,
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Open dead letters again, their attempts counted from zero
    Resubmit {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Status {
    /// Print a subject's status
    Get { subject: String },
    /// Print a subject's status, and every change as it is pushed
    Watch { subject: String },
}
