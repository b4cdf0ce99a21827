//! The commands of deliveries.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Audit, Corrected};

#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List open deliveries
    List(ListDeliveries),
    /// Show one: its event, and the attempts that failed
    Show {
        /// For instance payment@42
        id: String,
    },
    /// List the deliveries that others wait behind
    Blocked(Blocked),
    /// Run deliveries now, their attempts counted from zero
    Retry {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Run a delivery with other data, its attempts counted from zero
    Correct {
        /// For instance payment@42
        id: String,
        #[command(flatten)]
        corrected: Corrected,
        #[command(flatten)]
        audit: Audit,
    },
    /// End deliveries without effect
    Skip {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Give open deliveries up: they become dead letters
    DeadLetter {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// Take dead letters out of the store
    Discard {
        /// For instance payment@42
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        audit: Audit,
    },
    /// End a delivery, with events in its place
    Resolve(Resolve),
}

#[derive(Debug, Args)]
pub struct ListDeliveries {
    #[arg(long)]
    pub handler: Option<String>,
    #[arg(long)]
    pub key: Option<String>,
    /// ready, running, retrying, blocked, awaiting-correction, held or out-of-order
    #[arg(long)]
    pub state: Option<String>,
    /// Only those after this one
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Blocked {
    #[arg(long)]
    pub handler: Option<String>,
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Resolve {
    /// For instance payment@42
    pub id: String,
    /// A `CloudEvent` or an array of them, as JSON; `-` reads standard input. None: it has been done elsewhere
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    #[command(flatten)]
    pub audit: Audit,
}
