//! The commands of handlers and of breakers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Audit;

#[derive(Debug, Subcommand)]
pub enum Handlers {
    /// Upload a handler's component and deploy it by its manifest
    Deploy(Deploy),
    /// List handlers and how they stand
    List,
    /// Hold a handler's new attempts back
    Pause {
        name: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Let a handler finish what is open, and take nothing new
    Drain {
        name: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Let a paused or drained handler go on
    Resume {
        name: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Publish events to one handler alone, whatever it subscribes to
    Post {
        name: String,
        /// A `CloudEvent` or an array of them, as JSON; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
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
pub enum Breakers {
    /// List the breakers of handlers, and of hosts that have been called
    List,
    /// Open a breaker: deliveries wait, and use up no attempt, until it is reset
    Trip {
        /// For instance handler/payment or host/api.example.com
        breaker: String,
        #[command(flatten)]
        audit: Audit,
    },
    /// Close a breaker: all passes again
    Reset {
        /// For instance handler/payment or host/api.example.com
        breaker: String,
        #[command(flatten)]
        audit: Audit,
    },
}
