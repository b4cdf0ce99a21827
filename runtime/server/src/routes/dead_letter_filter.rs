//! The filter of dead letters: the same fields in a query and in the body of a bulk job.

use std::str::FromStr;

use chrono::DateTime;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat, Type},
};
use weirgate_engine::{DeadLetterFilter, Handle};
use weirgate_types::{DeliveryId, FailureClass, HandlerName, Position};

use super::query::known_handler;
use crate::Problem;

/// Filter of dead letters; absent fields match all.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterFilterBody {
    #[schema(value_type = Option<HandlerName>)]
    handler: Option<String>,
    /// The version that failed: a digest, or its first digits.
    #[schema(pattern = "^(sha256:)?[0-9a-fA-F]{4,64}$")]
    digest: Option<String>,
    /// `transient`, `correctable` or `permanent`.
    class: Option<FailureClass>,
    /// A substring of the failure's message, case-insensitive.
    text: Option<String>,
    /// The event's type.
    r#type: Option<String>,
    key: Option<String>,
    /// Dead letters since this time: RFC 3339, or Unix milliseconds.
    from: Option<Moment>,
    /// Dead letters before this time: RFC 3339, or Unix milliseconds.
    until: Option<Moment>,
    /// Only those that were dead letters at this position of the log: the `through` of a list keeps to what it showed.
    through: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLettersQuery {
    #[param(value_type = Option<HandlerName>, inline)]
    handler: Option<String>,
    /// The version that failed: a digest, or its first digits.
    #[param(pattern = "^(sha256:)?[0-9a-fA-F]{4,64}$")]
    digest: Option<String>,
    /// `transient`, `correctable` or `permanent`.
    #[param(inline)]
    class: Option<FailureClass>,
    /// A substring of the failure's message, case-insensitive.
    text: Option<String>,
    /// The event's type.
    r#type: Option<String>,
    key: Option<String>,
    /// Dead letters since this time: RFC 3339, or Unix milliseconds.
    #[param(inline)]
    from: Option<Moment>,
    /// Dead letters before this time: RFC 3339, or Unix milliseconds.
    #[param(inline)]
    until: Option<Moment>,
    /// Only those that were dead letters at this position of the log: the `through` of a list keeps to what it showed.
    through: Option<u64>,
    /// Only dead letters after this id: the `next` of the previous page.
    #[param(value_type = Option<DeliveryId>, inline)]
    pub after: Option<String>,
    /// Maximum number of items (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

impl DeadLettersQuery {
    /// The filter without the paging parameters.
    pub fn into_filter(self) -> DeadLetterFilterBody {
        let Self { handler, digest, class, text, r#type, key, from, until, through, .. } = self;
        DeadLetterFilterBody { handler, digest, class, text, r#type, key, from, until, through }
    }
}

impl DeadLetterFilterBody {
    pub async fn checked(self, engine: &Handle) -> Result<DeadLetterFilter, Problem> {
        Ok(DeadLetterFilter {
            handler: known_handler(engine, self.handler.as_deref()).await?,
            digest: match &self.digest {
                Some(digest) => Some(engine.digest(digest).await?),
                None => None,
            },
            class: self.class,
            text: self.text,
            r#type: self.r#type,
            key: self.key,
            from_ms: self.from.map(Moment::ms),
            until_ms: self.until.map(Moment::ms),
            through: self.through.map(Position),
        })
    }
}

/// The smallest number but 0 that is taken for Unix milliseconds: no Unix time in seconds reaches it for 3,000 years.
const UNIX_MS_MIN: u64 = 100_000_000_000;

/// A time, in Unix milliseconds or RFC 3339. A time before 1970 is 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    pub fn ms(self) -> u64 {
        self.0
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let rfc3339 = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        OneOfBuilder::new().item(rfc3339).item(text().pattern(Some("^(0|[1-9][0-9]{11,14})$"))).into()
    }
}

impl ToSchema for Moment {}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ms) = text.parse() {
            return Self::of_ms(ms);
        }
        let time = DateTime::parse_from_rfc3339(text).ok();
        let ms = time.and_then(|time| u64::try_from(time.timestamp_millis().max(0)).ok());
        let wrong = || format!("{text:?} is no time; write for instance 2026-07-01T12:00:00Z, or Unix milliseconds");
        ms.map(Self).ok_or_else(wrong)
    }
}

impl Moment {
    /// Unix seconds or a year would be taken for a time soon after the beginning of 1970.
    fn of_ms(ms: u64) -> Result<Self, String> {
        match ms {
            1..UNIX_MS_MIN => {
                Err(format!("{ms} milliseconds are a time before 1974; write Unix milliseconds, not seconds"))
            }
            ms => Ok(Self(ms)),
        }
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
            Written::Ms(ms) => Self::of_ms(ms).map_err(D::Error::custom),
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
            ("100000000000", 100_000_000_000),
            ("\"1970-01-01T00:00:01.5Z\"", 1_500),
            ("\"1970-01-01T02:00:00+02:00\"", 0),
            ("\"1969-01-01T00:00:00Z\"", 0),
        ] {
            assert_eq!(serde_json::from_str::<Moment>(json).expect(json), Moment(ms));
        }
        for json in ["\"\"", "\"yesterday\"", "-1", "\"2026-07-01\"", "2026", "\"1790000000\"", "1790000000"] {
            assert!(serde_json::from_str::<Moment>(json).is_err(), "{json}");
        }
    }
}
