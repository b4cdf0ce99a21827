//! Arguments that several commands share.

use std::str::FromStr;

use chrono::DateTime;
use clap::{Args, ValueEnum};

/// Maximum number of entries of a page.
pub const LIMIT_MAX: u16 = 1_000;

/// The format of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people: tables, with local times
    Text,
    /// The server's answer, with times as in RFC 3339
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
    /// Only entries after this one: what the last line of the previous page names
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// The largest number of entries (default 100, at most 1,000)
    #[arg(long, value_name = "NUMBER", value_parser = limit)]
    pub limit: Option<u16>,
}

impl Page {
    /// The query parameters.
    pub fn parameters(self) -> [(&'static str, Option<String>); 2] {
        [("after", self.after), ("limit", self.limit.map(|limit| limit.to_string()))]
    }
}

/// A whole number.
pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number".to_owned())
}

fn limit(text: &str) -> Result<u16, String> {
    let limit = whole(text).ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| format!("write a whole number from 1 to {LIMIT_MAX}"))
}

/// A failure class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Class {
    /// May succeed later
    Transient,
    /// The data is wrong
    Correctable,
    /// Will never succeed
    Permanent,
}

/// The word of a value, the same here and in the endpoints.
pub fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A time as the endpoints take it: RFC 3339, or Unix milliseconds.
pub fn moment(text: &str) -> Result<String, String> {
    let is_time = text.parse::<u64>().is_ok() || DateTime::parse_from_rfc3339(text).is_ok();
    match is_time {
        true => Ok(text.to_owned()),
        false => Err("write for instance 2026-07-01T12:00:00Z, or Unix milliseconds".into()),
    }
}
