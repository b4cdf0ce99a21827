//! The filter of dead letters: the same fields in a query and in the body of a bulk job.

use std::str::FromStr;

use chrono::DateTime;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{DeadLetterFilter, Handle};
use weirgate_types::FailureClass;

use super::query::known_handler;
use crate::Problem;

/// Filter of dead letters; absent fields match all.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterFilterBody {
    handler: Option<String>,
    /// The version that failed.
    digest: Option<String>,
    /// `transient`, `correctable` or `permanent`.
    #[schema(value_type = Option<String>)]
    class: Option<FailureClass>,
    /// A substring of the failure's message, case-insensitive.
    text: Option<String>,
    /// The event's type.
    r#type: Option<String>,
    key: Option<String>,
    /// Dead letters since this time: RFC 3339, or Unix milliseconds.
    #[schema(value_type = Option<String>)]
    from: Option<Moment>,
    /// Dead letters before this time: RFC 3339, or Unix milliseconds.
    #[schema(value_type = Option<String>)]
    until: Option<Moment>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLettersQuery {
    handler: Option<String>,
    /// The version that failed.
    digest: Option<String>,
    /// `transient`, `correctable` or `permanent`.
    #[param(value_type = Option<String>)]
    class: Option<FailureClass>,
    /// A substring of the failure's message, case-insensitive.
    text: Option<String>,
    /// The event's type.
    r#type: Option<String>,
    key: Option<String>,
    /// Dead letters since this time: RFC 3339, or Unix milliseconds.
    #[param(value_type = Option<String>)]
    from: Option<Moment>,
    /// Dead letters before this time: RFC 3339, or Unix milliseconds.
    #[param(value_type = Option<String>)]
    until: Option<Moment>,
    /// Only dead letters after this id: the `next` of the previous page.
    pub after: Option<String>,
    /// Maximum number of items (default 100, at most 1,000).
    pub limit: Option<usize>,
}

impl DeadLettersQuery {
    /// The filter without the paging parameters.
    pub fn into_filter(self) -> DeadLetterFilterBody {
        let Self { handler, digest, class, text, r#type, key, from, until, .. } = self;
        DeadLetterFilterBody { handler, digest, class, text, r#type, key, from, until }
    }
}

impl DeadLetterFilterBody {
    pub async fn checked(self, engine: &Handle) -> Result<DeadLetterFilter, Problem> {
        Ok(DeadLetterFilter {
            handler: known_handler(engine, self.handler.as_deref()).await?,
            digest: self.digest.map(|digest| digest.parse()).transpose()?,
            class: self.class,
            text: self.text,
            r#type: self.r#type,
            key: self.key,
            from_ms: self.from.map(|Moment(ms)| ms),
            until_ms: self.until.map(|Moment(ms)| ms),
        })
    }
}

/// A time, in Unix milliseconds or RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms = match text.parse() {
            Ok(ms) => Some(ms),
            Err(_) => DateTime::parse_from_rfc3339(text).ok().and_then(|time| time.timestamp_millis().try_into().ok()),
        };
        let wrong = || format!("{text:?} is no time; write for instance 2026-07-01T12:00:00Z, or Unix milliseconds");
        ms.map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Ms(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Ms(ms) => Ok(Self(ms)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_two_ways() {
        for (json, ms) in [
            ("0", 0),
            ("\"1790000000000\"", 1_790_000_000_000),
            ("\"1970-01-01T00:00:01.5Z\"", 1_500),
            ("\"1970-01-01T02:00:00+02:00\"", 0),
        ] {
            assert_eq!(serde_json::from_str::<Moment>(json).expect(json), Moment(ms));
        }
        for json in ["\"\"", "\"yesterday\"", "\"1969-01-01T00:00:00Z\"", "-1", "\"2026-07-01\""] {
            assert!(serde_json::from_str::<Moment>(json).is_err(), "{json}");
        }
    }
}
