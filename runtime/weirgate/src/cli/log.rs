//! `weirgate log`: the log of a server that does not run.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Log {
    /// Read the whole log and print one line for each place where it is not as it was written
    Verify(DataDir),
    /// Make a damaged log one that opens again. What cannot be read is given up, so restore a backup first where you have one
    Repair(Repair),
    /// Begin a new epoch: after a backup was restored that is older than what the server had acknowledged
    NewEpoch(DataDir),
}

#[derive(Debug, Args)]
pub struct DataDir {
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
pub struct Repair {
    #[command(flatten)]
    pub dir: DataDir,
    /// Give up the records that cannot be read
    #[arg(long)]
    pub accept_loss: bool,
}
