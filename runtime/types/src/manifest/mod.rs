//! The manifest: a handler's subscriptions and how events are delivered to it. Four lines are enough:
//!
//! ```toml
//! name = "inventory"
//! module = "inventory.wasm"
//! [[subscriptions]]
//! types = ["order.placed"]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{HandlerName, not_in_keys, wording};

mod capability;
mod difference;
mod growth;
mod policy;
mod subscription;
mod toml;

pub use capability::{Capabilities, Schedule};
pub use difference::SettingChange;
pub use growth::{CapabilityChange, MayDo};
pub use policy::{
    AfterDeadLetter, BatchPolicy, BreakerPolicy, DeadLetterStop, EmitOrder, Jitter, OnDeploy, Ordering, Resequence,
    RetryStage, default_stages,
};
pub use subscription::{Interest, RUNTIME_TYPES, Subscription, check_types, glob};

#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: HandlerName,
    /// For the command line: the component's file, relative to the manifest. The API takes a digest beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    pub subscriptions: Vec<Subscription>,
    /// Where a newly deployed handler begins.
    #[serde(default)]
    pub start: Start,
    /// The version of the form in which it keeps its state. One that is higher than that of the version in force needs a
    /// component that exports `migrate-state`.
    #[serde(default = "first_state_version")]
    pub state_version: u32,
    /// Which version handles the rest of what is under way when this one is deployed.
    #[serde(default)]
    pub on_deploy: OnDeploy,
    /// Maximum number of calls in flight, over all keys. Each has one delivery, or up to `batch.events_max`.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// Which deliveries wait behind an open one.
    #[serde(default)]
    pub ordering: Ordering,
    #[serde(default)]
    pub emit_order: EmitOrder,
    /// Whether its keys may be folded again where a replay of another handler changes the events that it gets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fold_again: bool,
    #[serde(default)]
    pub after_dead_letter: AfterDeadLetter,
    /// The retry stages in order. Empty: the first failure is a dead letter.
    #[serde(default = "default_stages")]
    pub retry: Vec<RetryStage>,
    /// Absent: the handler is called however often it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerPolicy>,
    /// Absent: it is never paused because of dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_stop: Option<DeadLetterStop>,
    /// For components that export `handle-batch`; without it each call has one delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resequence: Option<Resequence>,
    #[serde(default)]
    pub capabilities: Capabilities,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    #[serde(default)]
    pub limits: CallLimits,
    /// Settings that the handler reads through `config`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the first event after the deployment.
    #[default]
    Now,
    /// At the first event of the log.
    Beginning,
}

/// The resource limits of a call. `docs/limits.md` lists the defaults.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallLimits {
    pub cpu_ms: u64,
    pub wall_ms: u64,
    pub memory_bytes: u64,
    pub effects_bytes: u64,
    pub emitted_events: u32,
    /// Maximum number of events that all calls emit per second; beyond it the handler's next deliveries wait.
    pub emitted_per_second: u32,
    /// Maximum causation depth of the emitted events.
    pub causation_depth: u32,
    pub host_calls: u32,
    /// Maximum number of outbound calls; each redirect counts.
    pub outbound_calls: u32,
    /// Maximum size of an outbound call's answer.
    pub outbound_bytes: u64,
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
            emitted_per_second: 20_000,
            causation_depth: 64,
            host_calls: 256,
            outbound_calls: 32,
            outbound_bytes: 256 << 10,
            log_lines: 100,
            log_line_bytes: 1024,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest cannot be read: {0}")]
    Malformed(String),
    #[error("{} is {value}; allowed are {least} to {most}", quoted(setting))]
    OutOfRange { setting: &'static str, value: String, least: String, most: String },
    #[error("`subscriptions` names no event type; add for instance types = [\"order.placed\"]")]
    NoSubscription,
    #[error(
        "`capabilities.hosts` names {0:?}; write scheme://name or scheme://name:port in lower case, without a path or a pattern"
    )]
    Host(String),
    #[error("`capabilities.secrets` names {0:?}; a secret's name is 1 to 64 of letters, digits, `-` and `_`")]
    Secret(String),
    #[error("the schedule {name:?} is invalid: {reason}; write five fields as in crontab(5), for instance 0 3 * * *")]
    Schedule { name: String, reason: String },
    #[error("the data of the schedule {name:?} is not valid JSON: {reason}")]
    ScheduleData { name: String, reason: String },
    #[error("{} {problem}; it has to be plain text of one line", quoted(setting))]
    Characters { setting: &'static str, problem: &'static str },
    #[error("{0}")]
    Conflict(&'static str),
}

/// Maximum size of a manifest, in bytes. It is kept in one record of the log.
const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// The `state_version` of a manifest that names none.
pub const FIRST_STATE_VERSION: u32 = 1;
const STATE_VERSION_MAX: u32 = 1_000_000;
const CONFIG_NAME_BYTES_MAX: usize = 256;
const MODULE_BYTES_MAX: usize = 4_096;

fn first_state_version() -> u32 {
    FIRST_STATE_VERSION
}

fn default_concurrency() -> u32 {
    64
}

/// The setting that is wrong, and how. Lines and columns are left out: a manifest file is not the JSON that is parsed.
fn malformed(error: &serde_path_to_error::Error<serde_json::Error>) -> ManifestError {
    let (path, said) = (error.path().to_string(), error.inner().to_string());
    let said =
        if error.inner().is_data() { said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said) } else { &said };
    ManifestError::Malformed(wording::at(&path, said))
}

impl Manifest {
    /// # Errors
    /// The JSON is not a manifest, or a setting is out of its range.
    pub fn from_json(json: &str) -> Result<Self, ManifestError> {
        Self::from_record(json)?.checked()
    }

    /// Parses a manifest file. Checks only its form.
    ///
    /// # Errors
    /// The text is not TOML, or not a manifest.
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        Self::from_record(&toml::to_json(text)?)
    }

    /// A manifest that was checked before it was recorded; today's ranges do not apply to it.
    ///
    /// # Errors
    /// The JSON is not a manifest.
    pub fn from_record(json: &str) -> Result<Self, ManifestError> {
        let mut parsed = serde_json::Deserializer::from_str(json);
        let found = serde_path_to_error::deserialize(&mut parsed).map_err(|error| malformed(&error))?;
        parsed.end().map_err(|error| ManifestError::Malformed(wording::plain(&error.to_string())))?;
        Ok(found)
    }

    /// # Errors
    /// A setting is out of its range.
    pub fn checked(self) -> Result<Self, ManifestError> {
        if self.subscriptions.iter().all(|subscription| subscription.types.is_empty()) && self.schedules.is_empty() {
            return Err(ManifestError::NoSubscription);
        }
        subscription::check(&self.subscriptions)?;
        within("concurrency", self.concurrency, 1, 1_024)?;
        within("state_version", self.state_version, FIRST_STATE_VERSION, STATE_VERSION_MAX)?;
        policy::check_stages(&self.retry)?;
        self.breaker.as_ref().map_or(Ok(()), BreakerPolicy::check)?;
        self.dead_letter_stop.as_ref().map_or(Ok(()), DeadLetterStop::check)?;
        self.batch.map_or(Ok(()), BatchPolicy::check)?;
        self.resequence.map_or(Ok(()), Resequence::check)?;
        self.capabilities.check()?;
        self.check_schedules()?;
        self.check_names()?;
        self.check_together()?;
        self.limits.check()?;
        let json = serde_json::to_string(&self).map_err(|e| ManifestError::Malformed(e.to_string()))?;
        within("the size of the manifest as JSON, in bytes", json.len(), 0, MANIFEST_BYTES_MAX)?;
        Ok(self)
    }

    fn check_names(&self) -> Result<(), ManifestError> {
        for name in self.config.keys() {
            within("the length of a name in config", name.len(), 1, CONFIG_NAME_BYTES_MAX)?;
            plain("a name in config", name)?;
        }
        let Some(module) = &self.module else { return Ok(()) };
        within("the length of module", module.len(), 0, MODULE_BYTES_MAX)?;
        plain("module", module)
    }

    fn check_schedules(&self) -> Result<(), ManifestError> {
        within("the number of schedules", self.schedules.len(), 0, 32)?;
        self.schedules.iter().try_for_each(Schedule::check)?;
        let mut names = BTreeSet::new();
        match self.schedules.iter().find(|schedule| !names.insert(&schedule.name)) {
            Some(_) => Err(ManifestError::Conflict("two schedules have the same `name`")),
            None => Ok(()),
        }
    }

    /// Checks settings that depend on each other.
    fn check_together(&self) -> Result<(), ManifestError> {
        let conflict = |is: bool, what| if is { Err(ManifestError::Conflict(what)) } else { Ok(()) };
        conflict(
            self.emit_order == EmitOrder::Input && self.ordering != Ordering::None,
            "`emit_order = \"input\"` is for `ordering = \"none\"`: in the other orders nothing overtakes anything",
        )?;
        conflict(
            self.resequence.is_some() && self.ordering != Ordering::Key,
            "`[resequence]` is for `ordering = \"key\"`: a sequence is that of a key",
        )?;
        conflict(
            self.on_deploy == OnDeploy::Finish && self.ordering != Ordering::Key,
            "`on_deploy = \"finish\"` is for `ordering = \"key\"`: it is keys that finish",
        )?;
        let takes_corrections = self.subscriptions.iter().any(|one| !one.corrections.is_empty());
        conflict(
            takes_corrections && self.ordering == Ordering::None && self.emit_order == EmitOrder::Any,
            "`corrections` are for deliveries that are found by their key: with `ordering = \"none\"` set `emit_order = \"input\"`",
        )?;
        conflict(
            self.batch.is_some() && self.emit_order == EmitOrder::Input,
            "`[batch]` and `emit_order = \"input\"` do not go together",
        )
    }
}

impl CallLimits {
    fn check(&self) -> Result<(), ManifestError> {
        let limits = self;
        within("limits.cpu_ms", limits.cpu_ms, 1, 5_000)?;
        within("limits.wall_ms", limits.wall_ms, 1, 30_000)?;
        within("limits.memory_bytes", limits.memory_bytes, 1 << 20, 256 << 20)?;
        within("limits.effects_bytes", limits.effects_bytes, 1, 4 << 20)?;
        within("limits.emitted_events", limits.emitted_events, 0, 1_024)?;
        within("limits.emitted_per_second", limits.emitted_per_second, 1, 1_000_000)?;
        within("limits.causation_depth", limits.causation_depth, 1, 65_536)?;
        within("limits.host_calls", limits.host_calls, 1, 65_536)?;
        within("limits.outbound_calls", limits.outbound_calls, 0, 256)?;
        within("limits.outbound_bytes", limits.outbound_bytes, 1, 4 << 20)?;
        within("limits.log_lines", limits.log_lines, 0, 10_000)?;
        within("limits.log_line_bytes", limits.log_line_bytes, 16, 65_536)?;
        let log_bytes = u64::from(limits.log_lines) * u64::from(limits.log_line_bytes);
        within("limits.log_lines x limits.log_line_bytes", log_bytes, 0, 1 << 20)
    }
}

/// A setting's name between backticks; what is counted or measured as it is.
fn quoted(setting: &str) -> String {
    if setting.contains(' ') { setting.to_owned() } else { format!("`{setting}`") }
}

/// Checks that a text which is compared with attributes or keys, or shown with them, holds only what they may hold.
fn plain(setting: &'static str, text: &str) -> Result<(), ManifestError> {
    not_in_keys(text).map_or(Ok(()), |problem| Err(ManifestError::Characters { setting, problem }))
}

fn within<T: PartialOrd + ToString>(setting: &'static str, value: T, least: T, most: T) -> Result<(), ManifestError> {
    if value >= least && value <= most {
        return Ok(());
    }
    let [value, least, most] = [value, least, most].map(|v| v.to_string());
    Err(ManifestError::OutOfRange { setting, value, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonText;

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
        let large = format!(r#","config":{{"a":"{}"}}"#, "x".repeat(300_000));
        for (extra, says) in [
            (r#","concurrency":0"#, "`concurrency` is 0; allowed are 1 to 1024"),
            (r#","state_version":0"#, "`state_version` is 0; allowed are 1 to 1000000"),
            (r#","state_version":1000001"#, "`state_version` is 1000001"),
            (r#","retry":[{"factor":0.5}]"#, "`retry.factor` is 0.5"),
            (r#","retry":[{"attempts":0}]"#, "`retry.attempts` is 0"),
            (r#","breaker":{"failure_ratio":0}"#, "`breaker.failure_ratio` is 0; allowed are 0.01 to 1"),
            (r#","breaker":{"open_ms":10,"open_ms_max":5}"#, "`breaker.open_ms_max` is 5; allowed are 10 to"),
            (r#","batch":{"events_max":1000}"#, "`batch.events_max` is 1000"),
            (r#","capabilities":{"hosts":["api.example.com"]}"#, "scheme://name"),
            (r#","capabilities":{"hosts":["https://*.example.com"]}"#, "without a path or a pattern"),
            (r#","capabilities":{"secrets":["a b"]}"#, "a secret's name is"),
            (r#","emit_order":"input""#, "`emit_order = \"input\"` is for `ordering = \"none\"`"),
            (r#","limits":{"memory_bytes":1}"#, "`limits.memory_bytes` is 1"),
            (r#","colour":"red""#, "there is no `colour`; there are `name`"),
            (&large, "the size of the manifest as JSON, in bytes is 300"),
            (
                r#","schedules":[{"name":"s","cron":"* * * * *","type":"t","key":"a"},{"name":"s","cron":"* * * * *","type":"t","key":"b"}]"#,
                "two schedules have the same `name`",
            ),
        ] {
            let error = manifest(extra).expect_err(extra).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    /// A manifest's texts hold what attributes and keys of events may hold, and no more.
    #[test]
    fn texts_are_those_of_attributes_and_keys() {
        let schedule = |name: &str, r#type: &str, key: &str| {
            format!(r#","schedules":[{{"name":"{name}","cron":"* * * * *","type":"{type}","key":"{key}"}}]"#)
        };
        let subscribed = |subscription: &str| {
            Manifest::from_json(&format!(r#"{{"name":"a","subscriptions":[{subscription}]}}"#)).map(drop)
        };
        for (text, says) in [
            (r"t\u0000", "holds a control character"),
            (r"t\n", "holds a control character"),
            (r"t\u009f", "holds a control character"),
            (r"t\ufdd0", "holds a noncharacter"),
            (r"t\ud83f\udfff", "holds a noncharacter"),
            (r"t\u202e", "changes the direction of text"),
            (r"\u2066t", "changes the direction of text"),
        ] {
            for (setting, refused) in [
                ("`schedules.name`", manifest(&schedule(text, "t", "k")).map(drop)),
                ("`schedules.type`", manifest(&schedule("s", text, "k")).map(drop)),
                ("`schedules.key`", manifest(&schedule("s", "t", text)).map(drop)),
                ("a name in config", manifest(&format!(r#","config":{{"{text}":"v"}}"#)).map(drop)),
                ("`module`", manifest(&format!(r#","module":"{text}""#)).map(drop)),
                ("a pattern in types or corrections", subscribed(&format!(r#"{{"types":["a","{text}*"]}}"#))),
                (
                    "a pattern in types or corrections",
                    subscribed(&format!(r#"{{"types":["a"],"corrections":["{text}"]}}"#)),
                ),
                ("subscriptions.source", subscribed(&format!(r#"{{"types":["a"],"source":"{text}"}}"#))),
            ] {
                let error = refused.expect_err(text).to_string();
                assert!(error.contains(setting) && error.contains(says), "{text}: {error}");
            }
        }
        assert!(manifest(&schedule("é €", "order.*é", "order/😀 1")).is_ok());
        assert!(manifest(r#","config":{"a b":"two\nlines\u202e"},"module":"../a b.wasm""#).is_ok());
        for (extra, says) in [
            (r#","config":{"":"v"}"#.to_owned(), "is 0; allowed are 1 to 256"),
            (format!(r#","config":{{"{}":"v"}}"#, "n".repeat(257)), "is 257; allowed are 1 to 256"),
            (format!(r#","module":"{}""#, "n".repeat(4_097)), "is 4097; allowed are 0 to 4096"),
        ] {
            let error = manifest(&extra).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn schedule_data_keeps_its_spelling() {
        let data = r#"{"n":12345678901234567890123,"large":1E400,"one":1.0}"#;
        let with = |data: &str| {
            manifest(&format!(r#","schedules":[{{"name":"s","cron":"* * * * *","type":"t","key":"k","data":{data}}}]"#))
        };
        let kept = with(data).expect("JSON");
        let again = Manifest::from_record(&serde_json::to_string(&kept).expect("JSON")).expect("a manifest");
        assert_eq!(again.schedules[0].data.as_ref().map(JsonText::get), Some(data));
        assert!(with(r#""\ud800""#).is_err_and(|error| error.to_string().contains("surrogate")));
    }
}
