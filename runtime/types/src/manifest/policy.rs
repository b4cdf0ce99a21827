//! Delivery policies: order, retries, breakers, handling of dead letters.

use serde::{Deserialize, Serialize};

use super::{ManifestError, within};

/// Which deliveries wait behind an open one.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// Later deliveries of its key.
    #[default]
    Key,
    /// All later deliveries of the handler.
    Handler,
    /// None. Deliveries of one key may run at once; if two write the same state, the later commit wins.
    None,
}

/// The order in which the emissions of a key's deliveries are released, if deliveries may overtake each other (`ordering =
/// "none"`).
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmitOrder {
    /// In order of completion.
    #[default]
    Any,
    /// In order of the events that caused them.
    Input,
}

/// What happens to a key that is under way, by an open delivery or a timer, when another version is deployed.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDeploy {
    /// It moves to the version with this setting; attempts that run are discarded.
    #[default]
    Move,
    /// It stays with the version that it has until it has no open delivery and no timer left.
    Finish,
}

/// What happens to a key after a dead letter.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterDeadLetter {
    /// Its later events are delivered.
    #[default]
    Continue,
    /// They wait for an operator's command on the dead letter.
    Hold,
}

/// A retry stage: a number of further attempts; the stage's n-th comes after a delay of at most min(`delay_ms_max`,
/// `first_delay_ms` x `factor`^(n-1)). When a stage is used up, the next one follows; after the last stage comes the dead
/// letter.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryStage {
    pub attempts: u32,
    pub first_delay_ms: u64,
    pub factor: f64,
    pub delay_ms_max: u64,
    pub jitter: Jitter,
}

#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jitter {
    /// Uniformly distributed from zero to the delay
    /// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
    #[default]
    Full,
    /// Half of the delay, plus a uniformly distributed part of the other half.
    Equal,
    /// The exact delay.
    None,
}

impl Default for RetryStage {
    fn default() -> Self {
        Self { attempts: 10, first_delay_ms: 1_000, factor: 2.0, delay_ms_max: 5 * 60_000, jitter: Jitter::Full }
    }
}

/// Three quick attempts, ten with delays that grow to five minutes, then one per hour for a day.
#[must_use]
pub fn default_stages() -> Vec<RetryStage> {
    let hour_ms = 3_600_000;
    vec![
        RetryStage { attempts: 3, first_delay_ms: 100, delay_ms_max: 1_000, ..RetryStage::default() },
        RetryStage::default(),
        RetryStage { attempts: 24, first_delay_ms: hour_ms, factor: 1.0, delay_ms_max: hour_ms, jitter: Jitter::Equal },
    ]
}

/// When to stop calling a handler whose attempts keep failing, and when to try again.
/// (The pattern is that of M. Nygard, *Release It!*.)
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerPolicy {
    /// Attempts older than this do not count.
    pub window_ms: u64,
    /// Minimum number of attempts in the window before it may open.
    pub attempts_min: u32,
    /// Opens when this fraction of them failed, from 0 to 1.
    pub failure_ratio: f64,
    /// How long it stays open before a half-open probe; doubled each time the probe fails, up to `open_ms_max`.
    pub open_ms: u64,
    pub open_ms_max: u64,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { window_ms: 10_000, attempts_min: 20, failure_ratio: 0.5, open_ms: 5_000, open_ms_max: 60_000 }
    }
}

/// When to pause a handler whose new version makes too many dead letters.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterStop {
    /// Fraction of the deliveries closed since the deployment, from 0 to 1.
    pub ratio: f64,
    /// Minimum number of closed deliveries before the handler may be paused.
    pub ended_min: u32,
}

impl Default for DeadLetterStop {
    fn default() -> Self {
        Self { ratio: 0.2, ended_min: 20 }
    }
}

/// Maximum number of deliveries per call. A call takes the ready deliveries when it begins, and waits for no more.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPolicy {
    pub events_max: u32,
}

/// Resequences events that carry CloudEvents' `sequence` as a number (1, 2, 3, ... for each key).
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resequence {
    /// The number of a key's first event.
    pub first: u64,
    /// How long to wait for a missing event. Then the gap is reported and passed.
    pub gap_timeout_ms: u64,
}

impl Default for Resequence {
    fn default() -> Self {
        Self { first: 1, gap_timeout_ms: 60_000 }
    }
}

const DAY_MS: u64 = 86_400_000;

pub(super) fn check_stages(stages: &[RetryStage]) -> Result<(), ManifestError> {
    within("the number of [[retry]] stages", stages.len(), 0, 8)?;
    for stage in stages {
        within("retry.attempts", stage.attempts, 1, 10_000)?;
        within("retry.first_delay_ms", stage.first_delay_ms, 1, DAY_MS)?;
        within("retry.factor", stage.factor, 1.0, 10.0)?;
        within("retry.delay_ms_max", stage.delay_ms_max, 1, DAY_MS)?;
    }
    Ok(())
}

impl BreakerPolicy {
    /// # Errors
    /// A setting is out of its range.
    pub fn check(&self) -> Result<(), ManifestError> {
        within("breaker.window_ms", self.window_ms, 100, 3_600_000)?;
        within("breaker.attempts_min", self.attempts_min, 1, 100_000)?;
        within("breaker.failure_ratio", self.failure_ratio, 0.01, 1.0)?;
        within("breaker.open_ms", self.open_ms, 1, 3_600_000)?;
        within("breaker.open_ms_max", self.open_ms_max, self.open_ms, DAY_MS)
    }
}

impl DeadLetterStop {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        within("dead_letter_stop.ratio", self.ratio, 0.0, 1.0)?;
        within("dead_letter_stop.ended_min", self.ended_min, 1, 1_000_000)
    }
}

impl BatchPolicy {
    pub(super) fn check(self) -> Result<(), ManifestError> {
        within("batch.events_max", self.events_max, 1, 256)
    }
}

impl Resequence {
    pub(super) fn check(self) -> Result<(), ManifestError> {
        within("resequence.gap_timeout_ms", self.gap_timeout_ms, 1, 7 * DAY_MS)
    }
}
