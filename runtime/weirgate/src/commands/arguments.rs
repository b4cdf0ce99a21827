//! Arguments that several commands share.

use clap::{Args, ValueEnum};

/// The format of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
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

/// Which part of a list.
#[derive(Debug, Clone, Args)]
pub struct Page {
    /// Only entries after this id
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    #[arg(long)]
    pub limit: Option<usize>,
}

impl Page {
    /// The query parameters.
    pub fn parameters(self) -> [(&'static str, Option<String>); 2] {
        [("after", self.after), ("limit", self.limit.map(|limit| limit.to_string()))]
    }
}
