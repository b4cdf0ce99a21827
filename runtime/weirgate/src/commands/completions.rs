//! `weirgate completions`.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{cli::Cli, output};

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that reads the script: `weirgate completions bash > ~/.local/share/bash-completion/completions/weirgate`
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

pub fn run(completions: &Completions) -> Result<()> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "weirgate", &mut script);
    output::write(&script)
}
