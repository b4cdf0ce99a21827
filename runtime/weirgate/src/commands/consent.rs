//! What stands before a command that acts on many: a plan, or a question.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    failure::{Failure, usage},
    output,
};

#[derive(Debug, Clone, Copy, Args)]
pub struct Consent {
    /// Only show what would be done
    #[arg(long)]
    pub plan: bool,
    /// Do not ask before acting on many
    #[arg(long, short, conflicts_with = "plan")]
    pub yes: bool,
}

impl Consent {
    /// Refuses if there is no terminal to ask at and the answer was not given in advance. Called before anything is read,
    /// so that a script fails each time and not only when something matches.
    pub fn check(self) -> Result<()> {
        match self.plan || self.yes || std::io::stdin().is_terminal() {
            true => Ok(()),
            false => Err(usage(
                "this acts on all that match, and standard input is not a terminal to ask at; add --yes, or --plan to see what would be done",
            )),
        }
    }

    /// Asks, for instance `discard 12 dead letters`.
    ///
    /// # Errors
    /// The answer is not yes.
    pub fn ask(self, what: &str) -> Result<()> {
        ask_unless(self.yes, what)
    }
}

/// Asks, unless the answer was given in advance.
///
/// # Errors
/// The answer is not yes.
pub fn ask_unless(yes: bool, what: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    output::ask(&format!("{what}? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    match is_yes(&answer) {
        true => Ok(()),
        false => Err(Failure::Refused("nothing was done".into()).into()),
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// `1 delivery`, `2 deliveries`.
pub fn counted(count: usize, (one, many): (&str, &str)) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in
            [("y\n", true), ("YES\n", true), (" yes ", true), ("", false), ("n\n", false), ("yep\n", false)]
        {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
