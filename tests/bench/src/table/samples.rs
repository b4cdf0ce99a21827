//! The measured values of a run, as data: what was not measured is empty.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{compare::Turns, figures, push::Pushed, scale::Scaled};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Samples {
    pub setting: Setting,
    pub calls: Vec<Calls>,
    pub orders: Vec<Turns>,
    pub pushed: Pushed,
    pub scaled: Scaled,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setting {
    pub date: String,
    pub command: String,
    pub processors: usize,
    pub model: String,
    pub kernel: String,
    /// Load averages, at the beginning and at the end.
    pub loads: Vec<f64>,
}

/// Calls of a component in fresh instances, as `runtime/host/benches/call_cost.rs` prints them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Calls {
    pub threads: usize,
    pub count: usize,
    /// The median of the calls' CPU times.
    pub median_us: f64,
}

/// Several measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub count: usize,
}

impl Calls {
    /// Reads what the benchmark has printed: the lines of JSON among others.
    ///
    /// # Errors
    /// There is no such file, or no such line in it.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let lines = text.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("not of a call: {line}"))).collect()
    }
}

impl Spread {
    /// `None` without values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { median: figures::median(values.iter().copied()), least, most, count: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_outermost_values() {
        let spread = Spread::of([3.0, 1.0, 2.0]).expect("three values");
        assert_eq!(spread, Spread { median: 2.0, least: 1.0, most: 3.0, count: 3 });
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn calls_are_read_from_what_was_printed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("calls");
        fs::write(&file, "1 thread(s): mean\n{\"threads\":1,\"count\":9,\"median_us\":11.5}\n").expect("written");
        let calls = Calls::read(&file).expect("calls");
        assert_eq!((calls.len(), calls[0].threads, calls[0].count), (1, 1, 9));
    }
}
