//! How a command ends that does not succeed: its exit code, one line that says why, and a hint.

use std::process::ExitCode;

use anyhow::Error;
use weirgate_engine::{StartError, storage::LogError};

use crate::{
    client::{NotAnswered, Refused},
    output::{self, OutputClosed},
};

/// The exit codes, as `weirgate --help` shows them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for another reason, for instance a damaged log
  2  wrong usage: arguments, files that are not what they should be, a missing --yes
  3  the server cannot be reached
  4  not found: what was named or selected does not exist
  5  refused by the server, or declined at the question";

/// A failure that is not the server's.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
}

/// An error of wrong usage.
pub fn usage(text: impl Into<String>) -> Error {
    Failure::Usage(text.into()).into()
}

/// An error of wrong usage, with the causes of `error`.
pub fn misused(error: &Error) -> Error {
    usage(chain(error))
}

/// An error of the system in its words, without its number.
pub fn system(error: &std::io::Error) -> String {
    without_code(&error.to_string())
}

/// A text without the numbers that the standard library appends to the system's words.
pub fn without_code(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |said, part| match part.split_once(')') {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => said + rest,
        _ => said + " (os error " + part,
    })
}

/// Prints the error and its hint, and returns the exit code.
pub fn report(error: &Error) -> ExitCode {
    if error.is::<OutputClosed>() {
        return ExitCode::SUCCESS;
    }
    output::note(&format!("error: {}", chain(error)));
    if let Some(hint) = hint(error) {
        output::note(&format!("hint: {hint}"));
    }
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &Error) -> u8 {
    if error.is::<NotAnswered>() {
        return 3;
    }
    match (error.downcast_ref(), error.downcast_ref::<Refused>()) {
        (Some(Failure::Usage(_)), _) => 2,
        (Some(Failure::NotFound(_)), _) => 4,
        (None, Some(refused)) if refused.status == 404 => 4,
        (Some(Failure::Refused(_)), _) | (None, Some(_)) => 5,
        (None, None) => 1,
    }
}

/// An error with its causes, each said once: an outer text may contain that of its cause.
pub fn chain(error: &Error) -> String {
    let mut parts = Vec::<String>::new();
    for cause in error.chain().map(ToString::to_string) {
        let cause = without_code(&cause.split_whitespace().collect::<Vec<_>>().join(" "));
        if cause.is_empty() || parts.iter().any(|part| part.contains(&cause)) {
            continue;
        }
        parts.retain(|part| !cause.contains(part.as_str()));
        parts.push(cause);
    }
    parts.join(": ")
}

/// A hint for known problems.
pub fn hint(error: &Error) -> Option<String> {
    if let Some(not_answered) = error.downcast_ref::<NotAnswered>() {
        return Some(not_answered.hint().into());
    }
    if let Some(StartError::Log(of_log)) = error.downcast_ref() {
        return hint_of_log(of_log);
    }
    let refused: &Refused = error.downcast_ref()?;
    match refused.code.as_str() {
        "unknown-handler" => Some("`weirgate handlers list` shows what is deployed".into()),
        "not-a-dead-letter" => Some("`weirgate dead-letters list` shows their ids".into()),
        "not-open" => {
            Some("`weirgate deliveries list` and `weirgate dead-letters list` show what can be decided about".into())
        }
        "unknown-breaker" => Some("`weirgate breakers list` shows what there is".into()),
        "unknown-bulk-job" => Some("`weirgate bulk-jobs list` shows those since the server started".into()),
        "unknown-replay" => Some("`weirgate replays list` shows them".into()),
        "plan-changed" => Some("`weirgate replays plan` shows the plan with its digest".into()),
        "not-approved" => Some("`weirgate replays approve` comes first".into()),
        "candidate-not-in-force" => Some("deploy the candidate first: `weirgate handlers deploy`".into()),
        "module-missing" => Some("`weirgate handlers deploy` uploads the module too".into()),
        _ if refused.retryable => Some("try again in a moment".into()),
        _ => None,
    }
}

fn hint_of_log(error: &LogError) -> Option<String> {
    let advice = match error {
        LogError::Lost(_) => {
            "restore the data directory from a backup; or continue without these records: `weirgate serve --accept-loss`"
        }
        LogError::Corrupt(_) => {
            "restore the data directory from a backup; `weirgate log verify --data DIR` shows the damage, and `weirgate log \
             repair --data DIR --accept-loss` gives up what cannot be read"
        }
        LogError::Locked { .. } => "stop the server first",
        _ => return None,
    };
    Some(format!("{advice} (docs/guides/damage.md)"))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn each_cause_is_said_once_and_on_one_line() {
        let nested = |texts: &[&'static str]| {
            let (first, outer) = texts.split_first().expect("a text");
            outer.iter().fold(anyhow!(*first), |error, text| error.context(*text))
        };
        for (texts, said) in [
            (["no such file (os error 2)", "cannot read a"].as_slice(), "cannot read a: no such file"),
            (&["no (os error 13): a (os error x) (os error 5"], "no: a (os error x) (os error 5"),
            (&["refused", "connect: refused", "no answer: connect: refused"], "no answer: connect: refused"),
            (&["a\n  | b", "bad"], "bad: a | b"),
            (&["it is broken: really", "it is broken"], "it is broken: really"),
            (&["same", "same"], "same"),
        ] {
            assert_eq!(chain(&nested(texts)), said);
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let refused =
            |status| Refused { status, detail: "no".into(), code: "no".into(), retryable: false, growth: None };
        for (error, code) in [
            (usage("no"), 2),
            (NotAnswered::new("http://a", None, "refused").into(), 3),
            (refused(404).into(), 4),
            (Failure::NotFound("nothing".into()).into(), 4),
            (refused(409).into(), 5),
            (refused(503).into(), 5),
            (anyhow!("other"), 1),
        ] {
            assert_eq!(exit_code(&error), code, "{error}");
            let wrapped = Err::<(), _>(error).context("outer").expect_err("an error");
            assert_eq!(exit_code(&wrapped), code, "{wrapped:#}");
        }
    }
}
