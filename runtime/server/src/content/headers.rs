//! Binary mode: the attributes in `ce-` headers, and the content type beside them (HTTP binding, 3.1).

use std::{borrow::Cow, collections::BTreeMap};

use axum::http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;
use weirgate_types::{EventError, RawEvent, quoted_string};

const PREFIX: &str = "ce-";

/// A header that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the header {name} {problem}")]
pub struct BadHeader {
    name: HeaderName,
    problem: &'static str,
}

impl From<BadHeader> for EventError {
    fn from(bad: BadHeader) -> Self {
        Self::Malformed(bad.to_string())
    }
}

/// Whether there are headers of a `CloudEvent`.
pub fn has_attributes(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// The content type, if there is one.
///
/// # Errors
/// The header is there twice, or is not text.
pub fn content_type(headers: &HeaderMap) -> Result<Option<&str>, BadHeader> {
    let Some(value) = only(headers, &header::CONTENT_TYPE)? else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|_| malformed(&header::CONTENT_TYPE, "is not UTF-8"))?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// The event in the headers; its data is the body.
///
/// # Errors
/// A header is there twice, or its value cannot be decoded.
pub fn event(headers: &HeaderMap, content_type: Option<&str>) -> Result<RawEvent, BadHeader> {
    let mut attributes = BTreeMap::new();
    for header in headers.keys() {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        if name == "datacontenttype" {
            return Err(malformed(header, "is not allowed; the header Content-Type is this attribute"));
        }
        let Some(value) = only(headers, header)? else { continue };
        let text = decode(value).map_err(|problem| malformed(header, problem))?;
        attributes.insert(name.to_owned(), text);
    }
    let mut take = |name: &str| attributes.remove(name);
    let mut raw = RawEvent {
        specversion: take("specversion"),
        id: take("id"),
        source: take("source"),
        r#type: take("type"),
        subject: take("subject"),
        time: take("time"),
        dataschema: take("dataschema"),
        datacontenttype: content_type.map(str::to_owned),
        ..RawEvent::default()
    };
    raw.extensions = attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(raw)
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, BadHeader> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(malformed(name, "is there more than once")),
        (value, None) => Ok(value.map(axum::http::HeaderValue::as_bytes)),
    }
}

fn malformed(name: &HeaderName, problem: &'static str) -> BadHeader {
    BadHeader { name: name.clone(), problem }
}

/// An attribute's value: double-quoted parts without their quotes and backslashes, then percent-decoded once (HTTP binding,
/// 3.1.3.2). A percent sign that begins no escape stays, because producers exist that do not escape it.
fn decode(value: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "is not UTF-8; percent-encode its bytes in UTF-8")?;
    let text =
        unquoted(text.trim_matches([' ', '\t'])).ok_or("has a double quote that is not closed; write it as %22")?;
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| "holds percent-encoded bytes that are not UTF-8")
}

fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('"') {
        return Some(text.into());
    }
    let (mut value, mut rest) = (String::new(), text);
    while let Some((before, quoted)) = rest.split_once('"') {
        let (inner, after) = quoted_string(quoted)?;
        value.push_str(before);
        value.push_str(&inner);
        rest = after;
    }
    value.push_str(rest);
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_then_decoded_once() {
        for (value, text) in [
            ("simple", "simple"),
            ("\"x\"", "x"),
            (" \t\"x\"\t ", "x"),
            ("\"  two  words  \"", "  two  words  "),
            ("\"quoted\"bare", "quotedbare"),
            ("a\"b\"c\"d\"e", "abcde"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (r#""\a""#, "a"),
            (r"bare\backslash", r"bare\backslash"),
            ("\"\"", ""),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("Euro%20%e2%82%ac%20%f0%9F%98%80", "Euro € 😀"),
            ("Euro € 😀", "Euro € 😀"),
            ("\"%22\"", "\""),
            ("%22x%22", "\"x\""),
            ("order%2Fo-1", "order/o-1"),
            ("un%6eecessary", "unnecessary"),
            ("%2541", "%41"),
            ("\"%25\"41", "%41"),
            ("100%", "100%"),
            ("50% off", "50% off"),
            ("%zz%4", "%zz%4"),
            ("%20x%20", " x "),
            ("a+b", "a+b"),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(text), "{value}");
        }
        for value in [
            "%C0%A0".as_bytes(),
            b"%ED%A0%80",
            b"%ED%A0%80%ED%B0%80",
            b"%E2",
            b"%E2%82x",
            b"%82",
            b"%ff",
            b"caf\xe9",
            b"\xc3",
            b"\xe2%82%ac",
            b"\"x",
            b"x\"",
            b"\"x\\\"",
            b"\"a\"b\"",
        ] {
            let shown = String::from_utf8_lossy(value).into_owned();
            let error = decode(value).expect_err(&shown);
            assert!(error.contains("UTF-8") || error.contains("double quote"), "{shown}: {error}");
        }
    }
}
