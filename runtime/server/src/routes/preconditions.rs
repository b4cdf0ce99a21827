//! Conditional requests: RFC 9110, section 13, for responses with an entity tag. Pure functions of header fields.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use utoipa::IntoParams;

/// The header fields, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes what `judge` reads")]
pub struct Conditions {
    /// Answer 412 unless the document has one of these entity tags.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// Answer 304 if the document has one of these entity tags.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// What a conditional request is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole response.
    Respond,
    /// 304: the client has it.
    NotModified,
    /// 412: the client wants another one.
    Failed,
}

/// An entity tag in a field.
struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

/// Judges a request for a representation whose strong entity tag is `"{opaque}"`.
pub fn judge(headers: &HeaderMap, opaque: &str) -> Verdict {
    let named = |tag: &Tag<'_>| tag.opaque == opaque.as_bytes();
    // `If-Match` compares strongly, `If-None-Match` weakly. A field that is not as specified names nothing.
    let wanted = field(headers, header::IF_MATCH);
    if wanted.is_some_and(|field| !is_any(&field) && !tags(&field).iter().any(|tag| !tag.is_weak && named(tag))) {
        return Verdict::Failed;
    }
    let known = field(headers, header::IF_NONE_MATCH);
    if known.is_some_and(|field| is_any(&field) || tags(&field).iter().any(named)) {
        return Verdict::NotModified;
    }
    Verdict::Respond
}

/// The value of a list field: its lines are one list.
fn field(headers: &HeaderMap, name: HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<_> = headers.get_all(name).into_iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() { None } else { Some(lines.join(&b',')) }
}

fn is_any(field: &[u8]) -> bool {
    field.trim_ascii() == b"*"
}

fn tags(field: &[u8]) -> Vec<Tag<'_>> {
    parse(field).unwrap_or_default()
}

/// The tags of a list; `None` if it is malformed. Empty elements are allowed, and a tag may contain commas.
fn parse(field: &[u8]) -> Option<Vec<Tag<'_>>> {
    let (mut tags, mut rest) = (Vec::new(), field);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Some(tags);
        }
        let (is_weak, quoted) = rest.strip_prefix(b"W/").map_or((false, rest), |quoted| (true, quoted));
        let text = quoted.strip_prefix(b"\"")?;
        let (opaque, after) = text.split_at(text.iter().position(|byte| *byte == b'"')?);
        rest = after.strip_prefix(b"\"")?.trim_ascii_start();
        let is_valid = opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..));
        if !is_valid || !(rest.is_empty() || rest.starts_with(b",")) {
            return None;
        }
        tags.push(Tag { is_weak, opaque });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &HeaderName, lines: &[&'static str]) -> Verdict {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        judge(&headers, "e-57")
    }

    #[test]
    fn if_none_match_is_a_list_that_compares_weakly() {
        let known: [&[&str]; 9] = [
            &["\"e-57\""],
            &["W/\"e-57\""],
            &["*"],
            &["\t * "],
            &["\"e-41\", \"e-57\""],
            &["\"e-41\"", "W/\"e-57\""],
            &["\"a,b\" ,\"e-57\""],
            &[",, \"e-57\" ,"],
            &["\"\",\"e-57\""],
        ];
        for lines in known {
            assert_eq!(judged(&header::IF_NONE_MATCH, lines), Verdict::NotModified, "{lines:?}");
        }
        let unknown: [&[&str]; 14] = [
            &[],
            &[""],
            &[","],
            &["\"e-41\""],
            &["\"E-57\""],
            &["w/\"e-57\""],
            &["e-57"],
            &["\"e-57"],
            &["W/ \"e-57\""],
            &["\"e-57\" \"e-41\""],
            &["\"e-57\"x"],
            &["*, \"e-57\""],
            &["\"e 57\", \"e-57\""],
            &["\"x,\"e-57\""],
        ];
        for lines in unknown {
            assert_eq!(judged(&header::IF_NONE_MATCH, lines), Verdict::Respond, "{lines:?}");
        }
    }

    #[test]
    fn if_match_compares_strongly_and_comes_first() {
        for lines in [&["\"e-57\""][..], &["*"], &["\"e-41\"", "\"e-57\""]] {
            assert_eq!(judged(&header::IF_MATCH, lines), Verdict::Respond, "{lines:?}");
        }
        for lines in [&["\"e-41\""][..], &["W/\"e-57\""], &["e-57"], &[""]] {
            assert_eq!(judged(&header::IF_MATCH, lines), Verdict::Failed, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, HeaderValue::from_static("\"e-41\""));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"e-57\""));
        assert_eq!(judge(&headers, "e-57"), Verdict::Failed);
    }
}
