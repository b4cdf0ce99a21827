//! Bodies of decisions: who says so and why, and the corrected data that some bring.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::cli::{Corrected, Said};

/// A body that says who and why.
pub fn body(said: &Said) -> Map<String, Value> {
    let fields = [("by", &said.by), ("why", &said.why)];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?))));
    given.collect()
}

/// The same, with the data.
pub fn corrected_body(said: &Said, corrected: &Corrected) -> Result<Map<String, Value>> {
    let mut body = body(said);
    for (name, json) in [("data", &corrected.data), ("patch", &corrected.patch)] {
        if let Some(json) = json {
            let value = serde_json::from_str(json).with_context(|| format!("--{name} is not JSON"))?;
            body.insert(name.to_owned(), value);
        }
    }
    Ok(body)
}
