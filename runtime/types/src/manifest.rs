//! The manifest: what a handler wants and how it is to be delivered to. Four lines are enough:
//!
//! ```toml
//! name = "inventory"
//! module = "inventory.wasm"
//! [[subscriptions]]
//! types = ["order.placed"]
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::HandlerName;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: HandlerName,
    /// For the command line: the component's file, relative to the manifest. The API takes a digest beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    pub subscriptions: Vec<Subscription>,
    /// Where a handler that is deployed for the first time begins.
    #[serde(default)]
    pub start: Start,
    /// How many deliveries may be under way at once, over all keys.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    #[serde(default)]
    pub retry: RetryPolicy,
    #[serde(default)]
    pub limits: CallLimits,
    /// Settings that the handler reads through `config`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// Which events a handler takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Event types; `*` stands for any run of characters, as in `order.*`.
    pub types: Vec<String>,
    /// Take only events from this source. `*` as in `types`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With the first event after the deployment.
    #[default]
    Now,
    /// With the first event of the log.
    Beginning,
}

/// Exponential backoff with full jitter: before attempt n+1 a delay drawn evenly from 0 to
/// min(`delay_ms_max`, `first_delay_ms` x `factor`^(n-1)).
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>)
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// How many attempts there are in all; then the delivery is a dead letter.
    pub attempts_max: u32,
    pub first_delay_ms: u64,
    pub factor: f64,
    pub delay_ms_max: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 16, first_delay_ms: 100, factor: 2.0, delay_ms_max: 5 * 60_000 }
    }
}

/// What one call may use. The defaults are those of `docs/limits.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallLimits {
    pub cpu_ms: u64,
    pub wall_ms: u64,
    pub memory_bytes: u64,
    pub effects_bytes: u64,
    pub emitted_events: u32,
    pub host_calls: u32,
    pub log_lines: u32,
    pub log_line_bytes: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            cpu_ms: 50,
            wall_ms: 3_000,
            memory_bytes: 64 << 20,
            effects_bytes: 256 << 10,
            emitted_events: 64,
            host_calls: 256,
            log_lines: 100,
            log_line_bytes: 1024,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest cannot be read: {0}")]
    Malformed(String),
    #[error("`{setting}` is {value}; it may be {least} to {most}")]
    OutOfRange { setting: &'static str, value: String, least: String, most: String },
    #[error("`subscriptions` names no event type; add for instance types = [\"order.placed\"]")]
    NoSubscription,
}

fn default_concurrency() -> u32 {
    64
}

impl Manifest {
    /// # Errors
    /// The JSON is not a manifest, or a setting is out of its range.
    pub fn from_json(json: &str) -> Result<Self, ManifestError> {
        Self::from_record(json)?.checked()
    }

    /// A manifest that was checked before it went into the log; the ranges of today do not matter to it.
    ///
    /// # Errors
    /// The JSON is not a manifest.
    pub fn from_record(json: &str) -> Result<Self, ManifestError> {
        serde_json::from_str(json).map_err(|e| ManifestError::Malformed(e.to_string()))
    }

    /// # Errors
    /// A setting is out of its range.
    pub fn checked(self) -> Result<Self, ManifestError> {
        if self.subscriptions.iter().all(|subscription| subscription.types.is_empty()) {
            return Err(ManifestError::NoSubscription);
        }
        let Self { concurrency, retry, limits, .. } = &self;
        within("concurrency", *concurrency, 1, 1_024)?;
        within("retry.attempts_max", retry.attempts_max, 1, 1_000)?;
        within("retry.first_delay_ms", retry.first_delay_ms, 1, 86_400_000)?;
        within("retry.factor", retry.factor, 1.0, 10.0)?;
        within("retry.delay_ms_max", retry.delay_ms_max, 1, 86_400_000)?;
        within("limits.cpu_ms", limits.cpu_ms, 1, 5_000)?;
        within("limits.wall_ms", limits.wall_ms, 1, 30_000)?;
        within("limits.memory_bytes", limits.memory_bytes, 1 << 20, 256 << 20)?;
        within("limits.effects_bytes", limits.effects_bytes, 1, 4 << 20)?;
        within("limits.emitted_events", limits.emitted_events, 0, 1_024)?;
        within("limits.host_calls", limits.host_calls, 1, 65_536)?;
        within("limits.log_lines", limits.log_lines, 0, 10_000)?;
        within("limits.log_line_bytes", limits.log_line_bytes, 16, 65_536)?;
        let log_bytes = u64::from(limits.log_lines) * u64::from(limits.log_line_bytes);
        within("limits.log_lines x limits.log_line_bytes", log_bytes, 0, 1 << 20)?;
        Ok(self)
    }
}

fn within<T: PartialOrd + ToString>(setting: &'static str, value: T, least: T, most: T) -> Result<(), ManifestError> {
    if value >= least && value <= most {
        return Ok(());
    }
    let [value, least, most] = [value, least, most].map(|v| v.to_string());
    Err(ManifestError::OutOfRange { setting, value, least, most })
}

impl Subscription {
    #[must_use]
    pub fn matches(&self, r#type: &str, source: &str) -> bool {
        self.types.iter().any(|pattern| glob(pattern, r#type))
            && self.source.as_ref().is_none_or(|pattern| glob(pattern, source))
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((piece, after)) = rest.split_once('*') {
        let Some(found) = text.find(piece) else { return false };
        text = text.get(found + piece.len()..).unwrap_or_default();
        rest = after;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(extra: &str) -> Result<Manifest, ManifestError> {
        Manifest::from_json(&format!(r#"{{"name":"a","subscriptions":[{{"types":["order.*"]}}]{extra}}}"#))
    }

    #[test]
    fn a_minimal_manifest_has_the_defaults() {
        let manifest = manifest("").expect("a minimal manifest");
        assert_eq!((manifest.concurrency, manifest.start), (64, Start::Now));
        assert_eq!(manifest.limits, CallLimits::default());
    }

    #[test]
    fn settings_out_of_range_and_unknown_ones_are_named() {
        for (extra, says) in [
            (r#","concurrency":0"#, "`concurrency` is 0; it may be 1 to 1024"),
            (r#","retry":{"factor":0.5}"#, "`retry.factor` is 0.5"),
            (r#","limits":{"memory_bytes":1}"#, "`limits.memory_bytes` is 1"),
            (r#","colour":"red""#, "unknown field `colour`"),
        ] {
            let error = manifest(extra).expect_err(extra).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, expected) in [
            ("order.placed", "order.placed", true),
            ("order.placed", "order.placed.late", false),
            ("order.*", "order.placed", true),
            ("*", "", true),
            ("*.failed", "payment.failed", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
