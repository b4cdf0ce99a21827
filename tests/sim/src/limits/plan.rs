//! The parameters that a seed of the limits' histories chooses: manifests whose settings are anywhere within their ranges,
//! and how much of the limits clients, guests and operators use.

use serde_json::{Value, json};
use weirgate_core::Limits;
use weirgate_log::LogOptions;
use weirgate_types::{HandlerName, Manifest};

use crate::Chance;

/// Number of bytes that most histories may write, and some.
const BYTES: u64 = 3 << 20;
const BYTES_OF_LARGE: u64 = 40 << 20;

/// How much of the limits is used.
#[derive(Debug)]
pub struct Habits {
    /// Approximate number of bytes written to the log.
    pub bytes: u64,
    /// Events in a request.
    pub events: u64,
    pub event_bytes: u64,
    pub keys: u64,
    pub key_bytes: usize,
    /// Correction events in a request.
    pub corrections: u64,
    pub correction_bytes: u64,
    /// One attempt in this many fails.
    pub failure: u64,
    /// Outbound calls of an attempt, and their answers.
    pub outbound_calls: u64,
    pub answer_bytes: u64,
    /// Calls that end in a step.
    pub ends: u64,
    /// Successive deployments, each with another subscription.
    pub deploys: u64,
    pub style: Style,
}

/// The limits that a guest uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Values,
    ManyWrites,
    Statuses,
    Emissions,
    Timers,
    Mixed,
}

const STYLES: [Style; 6] =
    [Style::Values, Style::ManyWrites, Style::Statuses, Style::Emissions, Style::Timers, Style::Mixed];

#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub handlers: Vec<Manifest>,
    pub habits: Habits,
    pub steps: u64,
    /// One step in this many ends with the process killed.
    pub crash: u64,
    pub limits: Limits,
    pub log: LogOptions,
}

impl Plan {
    pub fn draw(seed: u64, chance: &mut Chance) -> Self {
        let handlers = (0..=chance.below(3)).map(|index| manifest(chance, &format!("h{index}"))).collect();
        let habits = Habits::draw(chance);
        let limits = match chance.below(3) {
            0 => Limits { active_max: 4, open_max: 64, waiting_max: 2, lane_max: 2, ..Limits::default() },
            1 => Limits { active_max: 64, open_max: 2_000, waiting_max: 16, lane_max: 4, ..Limits::default() },
            _ => Limits::default(),
        };
        let log =
            LogOptions { reserve_bytes: 0, segment_bytes_max: chance.between(1, 16) << 20, ..LogOptions::default() };
        Self { seed, handlers, habits, steps: chance.between(8, 50), crash: chance.between(4, 16), limits, log }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for manifest in &self.handlers {
            writeln!(f, "{}", serde_json::to_string(manifest).unwrap_or_default())?;
        }
        writeln!(f, "{} steps, killed one in {}, {:?}", self.steps, self.crash, self.habits)?;
        write!(f, "{:?}, {:?}", self.limits, self.log)
    }
}

impl Habits {
    fn draw(chance: &mut Chance) -> Self {
        let mut one_of = |choices: [u64; 3]| chance.pick(&choices).copied().unwrap_or_default();
        Self {
            bytes: if one_of([0, 0, 1]) * one_of([0, 0, 1]) * one_of([0, 0, 1]) == 1 { BYTES_OF_LARGE } else { BYTES },
            events: one_of([3, 40, 1_000]),
            event_bytes: one_of([0, 300, 256 << 10]),
            keys: one_of([1, 12, 4_000]),
            key_bytes: if one_of([0, 0, 1]) == 1 { 1_024 } else { 8 },
            corrections: one_of([0, 20, 500]),
            correction_bytes: one_of([20, 4_000, 250_000]),
            failure: one_of([1, 2, 9]),
            outbound_calls: one_of([0, 2, 256]),
            answer_bytes: one_of([10, 9_000, 4 << 20]),
            ends: one_of([3, 40, 1_000]),
            deploys: one_of([1, 2, 150]),
            style: chance.pick(&STYLES).copied().unwrap_or(Style::Mixed),
        }
    }
}

/// One end of a range, the other, the default, or something between, small numbers as often as large ones.
fn setting(chance: &mut Chance, least: u64, default: u64, most: u64) -> u64 {
    match chance.below(5) {
        0 => least,
        1 => most,
        2 => default,
        _ => {
            let bits = 64 - (most - least).leading_zeros();
            let most_of_them = 1_u64.checked_shl(u32::try_from(chance.below(u64::from(bits) + 1)).unwrap_or(0));
            least + chance.below(most_of_them.unwrap_or(u64::MAX).min(most - least) + 1)
        }
    }
}

fn call_limits(chance: &mut Chance) -> Value {
    let log_lines = setting(chance, 0, 100, 10_000);
    let log_line_bytes = setting(chance, 16, 1_024, 65_536).min((1 << 20) / log_lines.max(1)).max(16);
    json!({
        "effects_bytes": setting(chance, 1, 256 << 10, 4 << 20),
        "emitted_events": setting(chance, 0, 64, 1_024),
        "host_calls": setting(chance, 1, 256, 65_536),
        "outbound_calls": setting(chance, 0, 32, 256),
        "log_lines": log_lines.min((1 << 20) / log_line_bytes),
        "log_line_bytes": log_line_bytes,
    })
}

fn retry(chance: &mut Chance) -> Value {
    let stages = setting(chance, 0, 3, 8);
    let stage = |chance: &mut Chance| {
        json!({
            "attempts": setting(chance, 1, 10, 10_000),
            "first_delay_ms": setting(chance, 1, 1_000, 86_400_000),
            "delay_ms_max": setting(chance, 1, 300_000, 86_400_000),
        })
    };
    (0..stages).map(|_| stage(chance)).collect()
}

/// A manifest that is accepted.
///
/// # Panics
/// It is not.
pub fn manifest(chance: &mut Chance, name: &str) -> Manifest {
    let name: HandlerName = name.parse().unwrap_or_else(|error| panic!("{error}"));
    let ordering = ["key", "key", "handler", "none"].get(chance.index(4)).copied().unwrap_or("key");
    let is_input = ordering == "none" && chance.one_in(2);
    let corrections = if ordering != "none" || is_input { json!(["fix.*"]) } else { json!([]) };
    let mut manifest = json!({
        "name": name.as_str(),
        "subscriptions": [{ "types": types(chance), "corrections": corrections }],
        "start": if chance.one_in(3) { "beginning" } else { "now" },
        "ordering": ordering,
        "emit_order": if is_input { "input" } else { "any" },
        "after_dead_letter": if chance.one_in(3) { "hold" } else { "continue" },
        "concurrency": setting(chance, 1, 64, 1_024),
        "retry": retry(chance),
        "limits": call_limits(chance),
        "capabilities": { "hosts": if chance.one_in(2) { json!(["https://api.example.com"]) } else { json!([]) } },
    });
    let mut also =
        |name: &str, value: Value| drop(manifest.as_object_mut().map(|all| all.insert(name.to_owned(), value)));
    if !is_input && chance.one_in(2) {
        also("batch", json!({ "events_max": setting(chance, 1, 32, 256) }));
    }
    if ordering == "key" && chance.one_in(6) {
        also("resequence", json!({ "first": 1, "gap_timeout_ms": setting(chance, 1, 60_000, 604_800_000) }));
    }
    if chance.one_in(6) {
        also("breaker", json!({ "attempts_min": setting(chance, 1, 20, 100_000) }));
    }
    let manifest = Manifest::from_json(&manifest.to_string());
    manifest.unwrap_or_else(|error| panic!("a manifest within its ranges is refused: {error}"))
}

/// Patterns that take orders and the handlers' own emissions, and some that take nothing.
fn types(chance: &mut Chance) -> Vec<String> {
    let mut types = vec!["order.*".to_owned(), "loop.*".to_owned(), "timer.*".to_owned()];
    if chance.one_in(3) {
        types.truncate(1);
    }
    let idle = setting(chance, 0, 0, 40);
    types.extend((0..idle).map(|n| format!("idle-{n}-{}.*", "x".repeat(200))));
    types
}
