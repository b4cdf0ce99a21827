//! The command line, as its users see it.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{Server, binary};

/// The binary, with the address of a server.
pub struct Cli {
    url: String,
}

impl Cli {
    pub fn of(server: &Server) -> Self {
        Self { url: server.url("") }
    }

    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        // The tester's environment has no effect.
        command.args(["--url", &self.url]).args(args).env("USER", "tester").stdin(Stdio::null());
        command.output().expect("the command line")
    }

    /// The output of a command; it has to succeed and print nothing on standard error.
    #[track_caller]
    pub fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[args, &["--output", "json"]].concat())).expect("JSON")
    }

    /// The lines on standard error of a command that fails, with nothing on standard output.
    #[track_caller]
    pub fn fails(&self, args: &[&str]) -> Vec<String> {
        let output = self.run(args);
        let code = output.status.code();
        assert!(code.is_some_and(|code| (1..=5).contains(&code)) && output.stdout.is_empty(), "{args:?}: {output:?}");
        text(&output.stderr).lines().map(str::to_owned).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
