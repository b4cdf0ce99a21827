//! Paths and queries of requests: the only code that puts what users give into a URL.

use anyhow::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::failure::usage;

/// All characters but the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path under `/v1` from its segments, each escaped as a whole: a `/` in one is not a separator.
pub fn path(segments: &[&str]) -> Result<String> {
    let mut path = "/v1".to_owned();
    for segment in segments {
        // Clients and proxies resolve these, however they are escaped.
        if matches!(*segment, "" | "." | "..") {
            return Err(usage(format!("{segment:?} is no name")));
        }
        path.push('/');
        path.extend(utf8_percent_encode(segment, ESCAPED));
    }
    Ok(path)
}

/// A query string of the parameters that are set; empty if none is.
pub fn query(parameters: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        empty if empty.is_empty() => empty,
        query => format!("?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    /// A client that resolves the URL, and a server that decodes each segment, find the same name.
    #[test]
    fn every_name_reaches_the_server_unchanged() {
        for name in [
            "a",
            "a%20b",
            "a b",
            "a/b",
            "a/../b",
            "a//b",
            "a?b",
            "a#b",
            "order/ö-1",
            "日本",
            "a+b",
            "%",
            "...",
            "a;b=c",
            "\\",
            "a\u{0}b",
        ] {
            let url = format!("http://127.0.0.1:1{}", path(&["status", name]).expect(name));
            let url = Url::parse(&url).expect(&url);
            let segments: Vec<_> = url.path_segments().expect("segments").collect();
            assert_eq!(segments.len(), 3, "{url}");
            let decoded = percent_encoding::percent_decode_str(segments[2]).decode_utf8().expect("UTF-8");
            assert_eq!((decoded.as_ref(), url.query(), url.fragment()), (name, None, None));
        }
        for name in ["", ".", ".."] {
            assert!(path(&["deliveries", name]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_query_holds_what_is_set() {
        assert_eq!(query(&[("a", None)]), "");
        assert_eq!(query(&[("a", Some("x y&z".into())), ("b", None), ("c", Some("é".into()))]), "?a=x+y%26z&c=%C3%A9");
    }
}
