//! The rules for each attribute: its `CloudEvents` type, and what it may hold.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system>)

use std::collections::BTreeMap;

use iri_string::types::{UriAbsoluteStr, UriReferenceStr};

use super::{
    Extension, MediaType,
    characters::{not_in_attributes, not_in_keys},
    timestamp::is_rfc3339,
};
use crate::{EventError, EventLimits, ExtensionValue};

/// Attribute names with another meaning: they are no extensions.
const CONTEXT_NAMES: [&str; 3] = ["data", "datacontenttype", "data_base64"];
/// Maximum length of an attribute's name, in bytes. `CloudEvents` recommends 20.
const NAME_BYTES_MAX: usize = 256;

pub(super) fn bad(attribute: &str, problem: impl Into<String>) -> EventError {
    EventError::Attribute { attribute: attribute.to_owned(), problem: problem.into() }
}

/// An attribute's text, if it has one: not empty, not too long, without characters that `why_not` refuses.
fn text(
    name: &str,
    value: Option<String>,
    limits: &EventLimits,
    why_not: fn(&str) -> Option<&'static str>,
) -> Result<Option<String>, EventError> {
    let Some(value) = value else { return Ok(None) };
    let problem = match value.len() {
        0 => Some("is empty; omit it, or give it a value".to_owned()),
        len if len > limits.attribute_bytes_max => {
            Some(format!("is {len} bytes long; at most {} are taken", limits.attribute_bytes_max))
        }
        _ => why_not(&value).map(str::to_owned),
    };
    problem.map_or(Ok(Some(value)), |problem| Err(bad(name, problem)))
}

pub(super) fn required(name: &'static str, value: Option<String>, limits: &EventLimits) -> Result<String, EventError> {
    let value = value.filter(|value| !value.is_empty()).ok_or(EventError::Missing(name))?;
    text(name, Some(value), limits, not_in_keys)?.ok_or(EventError::Missing(name))
}

pub(super) fn subject(value: Option<String>, limits: &EventLimits) -> Result<Option<String>, EventError> {
    text("subject", value, limits, not_in_keys)
}

pub(super) fn source(value: Option<String>, limits: &EventLimits) -> Result<String, EventError> {
    let source = required("source", value, limits)?;
    match UriReferenceStr::new(&source) {
        Ok(_) => Ok(source),
        Err(_) => Err(bad("source", format!("is {source:?}, which is no URI reference (RFC 3986); percent-encode it"))),
    }
}

pub(super) fn time(value: Option<String>, limits: &EventLimits) -> Result<Option<String>, EventError> {
    let time = text("time", value, limits, not_in_attributes)?;
    match &time {
        Some(time) if !is_rfc3339(time) => {
            Err(bad("time", format!("is {time:?}; write RFC 3339, for instance 2018-04-05T17:31:00Z")))
        }
        _ => Ok(time),
    }
}

pub(super) fn content_type(value: Option<String>, limits: &EventLimits) -> Result<Option<String>, EventError> {
    let content_type = text("datacontenttype", value, limits, not_in_attributes)?;
    match &content_type {
        Some(text) if MediaType::parse(text).is_none() => {
            Err(bad("datacontenttype", format!("is {text:?}, which is no media type such as application/json")))
        }
        _ => Ok(content_type),
    }
}

pub(super) fn data_schema(value: Option<String>, limits: &EventLimits) -> Result<Option<String>, EventError> {
    let schema = text("dataschema", value, limits, not_in_attributes)?;
    match &schema {
        Some(uri) if UriAbsoluteStr::new(uri).is_err() => {
            let problem = format!("is {uri:?}; it has to be an absolute URI without a fragment (RFC 3986, 4.3)");
            Err(bad("dataschema", problem))
        }
        _ => Ok(schema),
    }
}

pub(super) fn extensions(
    raw: BTreeMap<String, Extension>,
    limits: &EventLimits,
) -> Result<BTreeMap<String, ExtensionValue>, EventError> {
    if raw.len() > limits.extensions_max {
        return Err(EventError::Malformed(format!(
            "it has {} extension attributes; at most {} are taken",
            raw.len(),
            limits.extensions_max
        )));
    }
    let mut checked = BTreeMap::new();
    for (name, value) in raw {
        check_name(&name)?;
        if let Some(value) = extension(&name, value, limits)? {
            checked.insert(name, value);
        }
    }
    Ok(checked)
}

fn check_name(name: &str) -> Result<(), EventError> {
    if CONTEXT_NAMES.contains(&name) {
        return Err(bad(name, "is CloudEvents' own and no extension"));
    }
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match name.len() {
        1..=NAME_BYTES_MAX if name.bytes().all(is_lower) => Ok(()),
        _ => Err(bad(name, format!("is no attribute name: 1 to {NAME_BYTES_MAX} of a-z and 0-9"))),
    }
}

/// The value with its type; `None` if it is `null`, which means absent.
fn extension(name: &str, value: Extension, limits: &EventLimits) -> Result<Option<ExtensionValue>, EventError> {
    let json = match value {
        Extension::Text(value) if value.is_empty() && name != "partitionkey" => return Ok(Some(value.into())),
        Extension::Text(value) => {
            let why_not = if name == "partitionkey" { not_in_keys } else { not_in_attributes };
            return Ok(text(name, Some(value), limits, why_not)?.map(ExtensionValue::from));
        }
        Extension::Other(json) => json,
    };
    match json.get() {
        "null" => Ok(None),
        "true" => Ok(Some(true.into())),
        "false" => Ok(Some(false.into())),
        structure if structure.starts_with(['{', '[']) => {
            Err(bad(name, "is a structure; extension attributes are strings, integers or Booleans"))
        }
        number => match number.parse::<i32>() {
            Ok(integer) => Ok(Some(integer.into())),
            Err(_) => Err(bad(
                name,
                "is a number that is no integer of 32 bits (-2147483648 to 2147483647, without fraction and exponent); \
                 send other numbers as strings",
            )),
        },
    }
}
