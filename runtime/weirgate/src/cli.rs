//! The command line, as a table: noun, then command. The commands of a noun are defined with their implementation, in
//! `commands`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    client::Server,
    commands::{
        arguments::Output,
        attempts::{self, Attempts},
        breakers::{self, Breakers},
        bulk_jobs::{self, BulkJobs},
        completions::{self, Completions},
        dead_letters::{self, DeadLetters},
        deliveries::{self, Deliveries},
        dev::{self, Dev},
        events::{self, Events},
        handlers::{self, Handlers},
        log::{self, Log},
        new::{self, New},
        replays::{
            self, Replays,
            recorded::{self, Recorded},
        },
        serve::{self, Serve},
        status::{self, Status},
        timeline::{self, Timeline},
        verify::{self, Verify},
    },
    failure::{EXIT_CODES, usage},
    output,
};

/// Event handlers as WebAssembly components, with delivery in order per key and live status
#[derive(Debug, Parser)]
#[command(name = "weirgate", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Address of the server; `http://` may be left out
    #[arg(long, global = true, env = "WEIRGATE_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// Output format
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a folder with a first handler, its test and the SDK
    New(New),
    /// Build the handler in this folder, deploy it on every change, and show events, attempts, log lines and statuses
    Dev(Dev),
    /// Run the server
    Serve(Serve),
    /// Publish, list and follow events
    #[command(subcommand)]
    Events(Events),
    /// Deploy and manage handlers
    #[command(subcommand)]
    Handlers(Handlers),
    /// List and manage open deliveries
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// List finished attempts
    #[command(subcommand)]
    Attempts(Attempts),
    /// List and manage dead letters
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// List and cancel bulk jobs
    #[command(subcommand)]
    BulkJobs(BulkJobs),
    /// List the circuit breakers of handlers and called hosts, and open or reset them
    #[command(subcommand)]
    Breakers(Breakers),
    /// Read or follow the status of a subject
    #[command(subcommand)]
    Status(Status),
    /// Tell the story of a key: everything that happened to it, in order
    Timeline(Timeline),
    /// Verify and repair the log of a stopped server
    #[command(subcommand)]
    Log(Log),
    /// Ask what-if and repair keys; execute recorded attempts again
    #[command(subcommand)]
    Replays(Replays),
    /// Print the server's OpenAPI document
    Openapi,
    /// Print a script that completes commands and options in a shell
    Completions(Completions),
    /// Compile a component from standard input to standard output; the server runs this as a child process
    #[command(hide = true)]
    CompileModule,
}

/// Runs the command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let Cli { url, output, command } = cli;
    match command {
        Command::New(command) => new::run(&command, output),
        Command::Serve(flags) => serve::run(&flags),
        Command::Log(command) => return log::run(&command, output),
        Command::Replays(Replays::Recorded(Recorded::Verify(flags))) if flags.data.is_none() => {
            return verify_online(&url, output, &flags);
        }
        Command::Replays(Replays::Recorded(command)) => return recorded::run(&command, output),
        // A child of the server, so that a module that is hard to compile affects only the child's time and memory.
        Command::CompileModule => return Ok(weirgate_host::compile_in_this_process()),
        Command::Openapi => output::json(&weirgate_server::openapi().to_pretty_json()?),
        Command::Completions(completions) => completions::run(&completions),
        command => talk(&url, output, command),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn verify_online(url: &str, output: Output, flags: &Verify) -> Result<ExitCode> {
    let server = Server::new(url)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verify::online(&server, flags, output))
}

/// Runs the requests of a command to their end.
fn talk(url: &str, output: Output, command: Command) -> Result<()> {
    let server = Server::new(url)?;
    let conversation = async {
        match command {
            Command::Dev(_) if output == Output::Json => {
                Err(usage("dev prints lines for people; leave out --output json"))
            }
            Command::Dev(command) => dev::run(&server, &server.url(), command).await,
            Command::Events(command) => events::run(&server, output, command).await,
            Command::Handlers(command) => handlers::run(&server, output, command).await,
            Command::Deliveries(command) => deliveries::run(&server, output, command).await,
            Command::Attempts(command) => attempts::run(&server, output, command).await,
            Command::DeadLetters(command) => dead_letters::run(&server, output, command).await,
            Command::BulkJobs(command) => bulk_jobs::run(&server, output, command).await,
            Command::Breakers(command) => breakers::run(&server, output, command).await,
            Command::Status(command) => status::run(&server, output, command).await,
            Command::Timeline(command) => timeline::run(&server, output, command).await,
            Command::Replays(Replays::WhatIf(command)) => replays::run(&server, output, command).await,
            // They talk to no server.
            Command::New(_)
            | Command::Serve(_)
            | Command::Log(_)
            | Command::Replays(Replays::Recorded(_))
            | Command::CompileModule
            | Command::Openapi
            | Command::Completions(_) => Ok(()),
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(conversation)
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    /// Each command, with its path.
    fn all(command: &Command, before: &str, found: &mut Vec<(String, Command)>) {
        let path = format!("{before} {}", command.get_name());
        found.push((path.clone(), command.clone()));
        command.get_subcommands().for_each(|below| all(below, &path, found));
    }

    #[test]
    fn every_command_and_argument_has_its_help() {
        let mut tree = Cli::command();
        tree.build();
        let mut found = Vec::new();
        all(&tree, "", &mut found);
        assert!(found.len() > 40, "the tree was not walked");
        let mut missing = Vec::new();
        for (path, command) in &found {
            missing.extend(command.get_about().is_none().then(|| path.clone()));
            for argument in command.get_arguments() {
                let values = argument.get_possible_values();
                let without = values.iter().filter(|value| value.get_help().is_none() && argument.get_id() != "shell");
                missing.extend(without.map(|value| format!("{path} {} {}", argument.get_id(), value.get_name())));
                missing.extend(argument.get_help().is_none().then(|| format!("{path} {}", argument.get_id())));
            }
        }
        missing.retain(|path| !path.contains(" help") && !path.ends_with(" true") && !path.ends_with(" false"));
        assert!(missing.is_empty(), "without help:\n{}", missing.join("\n"));
        tree.debug_assert();
    }

    /// Each argument with a value that it may not take.
    #[test]
    fn a_wrong_value_is_refused_in_plain_words() {
        let mut tree = Cli::command();
        tree.build();
        let mut found = Vec::new();
        all(&tree, "", &mut found);
        let mut refused = 0;
        for (path, command) in &found {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let option = argument.get_long().map(|name| format!("--{name}"));
                let words = path.split_whitespace().map(str::to_owned).chain(option).chain(["z z".to_owned()]);
                let Err(error) = Cli::command().try_get_matches_from(words) else { continue };
                refused += 1;
                let said = error.to_string();
                for raw in ["invalid digit", "provided string", "invalid float", "number too", "unexpected end"] {
                    assert!(!said.contains(raw), "{path} {}: {said}", argument.get_id());
                }
            }
        }
        assert!(refused > 20, "{refused} were refused");
    }

    #[test]
    fn help_says_what_exit_codes_mean() {
        let help = Cli::command().render_long_help().to_string();
        for code in ["  2  wrong usage", "  3  the server cannot be reached", "  4  not found", "  5  refused"] {
            assert!(help.contains(code), "{code}:\n{help}");
        }
    }
}
