//! Corrected data in requests: JSON, base64, or a merge patch. Checked like the data of an event.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use weirgate_engine::NewData;
use weirgate_types::{EventLimits, RawEvent, json};

use super::audit::{Actor, Reason};
use crate::Problem;

/// Data that replaces the event's, in one of three forms: `data`, `data_base64` or `patch`. The event itself is not changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectedBody {
    /// JSON that replaces the event's data; or text as a JSON string, if `data_content_type` is not JSON.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Box<RawValue>>,
    /// Bytes that replace the event's data, in base64. Requires `data_content_type`.
    pub data_base64: Option<String>,
    /// Content type of `data` (default `application/json`) or `data_base64`.
    pub data_content_type: Option<String>,
    /// A merge patch (RFC 7396) on the delivery's present data, which has to be JSON.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub patch: Option<Box<RawValue>>,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    pub actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    pub reason: Option<String>,
}

/// `null` is a value, not absence.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The data in a request, if there is any.
pub struct Brought {
    pub data: Option<Box<RawValue>>,
    pub data_base64: Option<String>,
    pub data_content_type: Option<String>,
    pub patch: Option<Box<RawValue>>,
}

impl Brought {
    pub fn checked(self, limits: &EventLimits) -> Result<Option<NewData>, Problem> {
        let Self { data, data_base64, data_content_type, patch } = self;
        let forms = [data.is_some(), data_base64.is_some(), patch.is_some()].into_iter().filter(|is| *is).count();
        let has_type = data_content_type.is_some();
        let wrong = |detail| Err(Problem::bad_command(detail));
        match patch {
            _ if forms > 1 => wrong("send one of `data`, `data_base64` and `patch`"),
            Some(_) if has_type => wrong("a patch leaves the data's type as it is; leave `data_content_type` out"),
            Some(patch) => check_patch(patch, limits).map(Some),
            None if forms == 0 && has_type => wrong("`data_content_type` says what the data is, and there is none"),
            None if forms == 0 => Ok(None),
            None if data_base64.is_some() && !has_type => {
                wrong("say in `data_content_type` what the bytes in `data_base64` are")
            }
            None => whole(data, data_base64, data_content_type, limits).map(Some),
        }
    }

    /// The same, where data is required.
    pub fn required(self, limits: &EventLimits) -> Result<NewData, Problem> {
        let nothing = || Problem::bad_command("send the corrected data: `data`, `data_base64` or `patch`");
        self.checked(limits)?.ok_or_else(nothing)
    }
}

/// Corrected data has the same rules as an event's, so it is checked like it.
fn whole(
    data: Option<Box<RawValue>>,
    data_base64: Option<String>,
    data_content_type: Option<String>,
    limits: &EventLimits,
) -> Result<NewData, Problem> {
    let attribute = || Some("corrected".to_owned());
    let raw = RawEvent {
        specversion: Some("1.0".into()),
        id: attribute(),
        source: attribute(),
        r#type: attribute(),
        subject: attribute(),
        datacontenttype: data_content_type.or_else(|| Some("application/json".into())),
        data,
        data_base64,
        ..RawEvent::default()
    };
    let event = raw.check(limits)?;
    Ok(NewData::Whole { data: event.data, data_content_type: event.data_content_type })
}

fn check_patch(patch: Box<RawValue>, limits: &EventLimits) -> Result<NewData, Problem> {
    let text = patch.get();
    if text.len() > limits.data_bytes_max {
        let detail = format!("the patch is {} bytes; the maximum is {}", text.len(), limits.data_bytes_max);
        return Err(Problem::bad_command(detail));
    }
    json::check(text.as_bytes(), limits.json_depth_max)
        .map_err(|error| Problem::bad_command(format!("the patch is not valid JSON: {error}")))?;
    Ok(NewData::Patch(patch))
}

impl CorrectedBody {
    /// The data without its audit.
    pub fn into_parts(self) -> (Brought, Option<String>, Option<String>) {
        let Self { data, data_base64, data_content_type, patch, actor, reason } = self;
        (Brought { data, data_base64, data_content_type, patch }, actor, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(json: &str) -> Result<Option<NewData>, Problem> {
        let body: CorrectedBody = serde_json::from_str(json).expect(json);
        body.into_parts().0.checked(&EventLimits::default())
    }

    #[test]
    fn data_comes_in_three_forms() {
        for (json, data, content_type) in [
            (r#"{"data":{"n": 1.0}}"#, r#"{"n": 1.0}"#, "application/json"),
            (r#"{"data":null}"#, "null", "application/json"),
            (r#"{"data":"hi","data_content_type":"text/plain"}"#, "hi", "text/plain"),
            (r#"{"data_base64":"aGk=","data_content_type":"text/plain"}"#, "hi", "text/plain"),
        ] {
            let Ok(Some(NewData::Whole { data: found, data_content_type })) = brought(json) else { panic!("{json}") };
            assert_eq!((found.as_slice(), data_content_type.as_deref()), (data.as_bytes(), Some(content_type)));
        }
        let Ok(Some(NewData::Patch(patch))) = brought(r#"{"patch":{"card":null,"n":1E400}}"#) else {
            panic!("a patch")
        };
        assert_eq!(patch.get(), r#"{"card":null,"n":1E400}"#);
        assert!(matches!(brought("{}"), Ok(None)));
    }

    #[test]
    fn invalid_corrected_data_is_refused() {
        let deep = format!(r#"{{"patch":{}{}}}"#, "[".repeat(65), "]".repeat(65));
        let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(300_000));
        let large_patch = format!(r#"{{"patch":"{}"}}"#, "x".repeat(300_000));
        for (json, code) in [
            (r#"{"data":1,"patch":{}}"#, "bad-command"),
            (r#"{"data_base64":"AA==","patch":{}}"#, "bad-command"),
            (r#"{"data_base64":"AA=="}"#, "bad-command"),
            (r#"{"data_content_type":"text/plain"}"#, "bad-command"),
            (r#"{"patch":{},"data_content_type":"text/plain"}"#, "bad-command"),
            (r#"{"data":1,"data_base64":"AA=="}"#, "bad-command"),
            (r#"{"data_base64":"?","data_content_type":"text/plain"}"#, "bad-attribute"),
            (r#"{"data_base64":"AA==","data_content_type":"application/json"}"#, "data-not-json"),
            (r#"{"patch":{"a":"\ud800"}}"#, "bad-command"),
            (r#"{"data":{"a":"\ud800"}}"#, "data-not-json"),
            (&deep, "bad-command"),
            (&large_patch, "bad-command"),
            (&large, "event-too-large"),
        ] {
            assert_eq!(brought(json).expect_err(json).code, code, "{}", json.get(..60).unwrap_or(json));
        }
    }
}
