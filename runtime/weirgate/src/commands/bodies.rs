//! Request bodies of commands: actor and reason, and corrected data.

use anyhow::Result;
use serde_json::value::{RawValue, to_raw_value};
use weirgate_types::json;

use super::arguments::{Audit, Corrected};
use crate::{client::Body, failure::usage};

/// A body with actor and reason.
pub fn body(audit: &Audit) -> Result<Body> {
    let mut body = Body::new();
    for (name, value) in [("actor", &audit.actor), ("reason", &audit.reason)] {
        if let Some(value) = value {
            body.insert(name, to_raw_value(value)?);
        }
    }
    Ok(body)
}

/// The same, with the data.
pub fn corrected_body(audit: &Audit, corrected: &Corrected) -> Result<Body> {
    let mut body = body(audit)?;
    for (name, json) in [("data", &corrected.data), ("patch", &corrected.patch)] {
        if let Some(json) = json {
            body.insert(name, raw(json, &format!("--{name}"))?);
        }
    }
    Ok(body)
}

/// JSON that is sent as given; the server limits its nesting. `what` names it in an error.
pub fn raw(json: &str, what: &str) -> Result<Box<RawValue>> {
    json::raw(json.as_bytes(), usize::MAX).map_err(|error| usage(format!("{what} is not JSON: {error}")))
}
