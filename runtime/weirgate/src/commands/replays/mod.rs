//! `weirgate replays`: executes recorded attempts again while no server uses the log, and asks a server what-if, to repair keys.

pub mod affected;
mod ask;
mod decide;
mod differences;
mod plan;
mod progress;
pub mod recorded;
mod show;
mod words;

use anyhow::Result;
use clap::Subcommand;

use super::arguments::Output;
use crate::client::Server;
use recorded::Recorded;

#[derive(Debug, Subcommand)]
pub enum Replays {
    #[command(flatten)]
    WhatIf(WhatIf),
    #[command(flatten)]
    Recorded(Recorded),
}

/// Commands for replays of a server.
#[derive(Debug, Subcommand)]
pub enum WhatIf {
    /// Ask what a candidate would have done with recorded deliveries; nothing is changed, and no host is called without consent
    ///
    /// The candidate is the version in force, an earlier version (--version) or a manifest with its component (--candidate). What the
    /// handler then would have left differs key by key: `replays diff` shows it, `replays plan` what would repair it.
    #[command(name = "what-if")]
    Ask(Box<ask::Ask>),
    /// List replays, the newest first
    List(show::List),
    /// Show a replay: what was asked, how far it is, what was found, and what came of the plan
    Show(show::Show),
    /// Show which keys differ, or what differs for one key
    Diff(differences::Diff),
    /// Show what applying a replay appends, key by key, and in the last line the plan's digest
    Plan(plan::Plan),
    /// Approve a plan, named by its digest, so that it may be applied
    Approve(decide::Approve),
    /// Apply an approved plan: append its repairs, each key by itself
    Apply(decide::Apply),
    /// Ask what would be without the repairs of a replay; the plan of ID-undo takes them back
    Undo(decide::Undo),
    /// Cancel a replay; keys that were repaired stay repaired
    Cancel(decide::Cancel),
}

pub async fn run(server: &Server, output: Output, command: WhatIf) -> Result<()> {
    match command {
        WhatIf::Ask(command) => ask::run(server, output, *command).await,
        WhatIf::List(command) => show::list(server, output, command).await,
        WhatIf::Show(command) => show::show(server, output, &command).await,
        WhatIf::Diff(command) => differences::run(server, output, command).await,
        WhatIf::Plan(command) => plan::run(server, output, command).await,
        WhatIf::Approve(command) => decide::approve(server, output, &command).await,
        WhatIf::Apply(command) => decide::apply(server, output, &command).await,
        WhatIf::Undo(command) => decide::undo(server, output, &command).await,
        WhatIf::Cancel(command) => decide::cancel(server, output, &command).await,
    }
}
