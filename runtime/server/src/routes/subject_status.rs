//! `GET /v1/status?subject=...`: the status of any subject. URL clients take `.` and `..` out of a path, also escaped ones, and
//! some merge slashes; a query they keep.

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    preconditions::Conditions,
    problems::{SubjectRefused, UnknownSubject, VersionDiffers},
    query::{Path, Query},
    status::{self, Status, StatusQuery},
};
use crate::{Problem, app::App};

/// Characters that are escaped in a part of a path, and in a query.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');

const PATH: &str = "/v1/status";

/// The URL of a subject's status, which each client sends as it is: a path, or, where the subject's parts are no parts of a
/// path, a query.
pub fn url(subject: &str) -> String {
    if subject.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return format!("/v1/status?subject={}", utf8_percent_encode(subject, ESCAPED));
    }
    let mut url = String::with_capacity(PATH.len() + subject.len());
    url.push_str(PATH);
    for part in subject.split('/') {
        url.push('/');
        url.extend(utf8_percent_encode(part, ESCAPED));
    }
    url
}

/// Read a subject's status, for any subject: also one with empty parts or dots between its slashes.
#[utoipa::path(
    get, path = "/v1/status", operation_id = "read_status_of_subject", tag = "status",
    params(("subject" = String, Query, min_length = 1, max_length = 1024, description = "For instance order/o-1"), StatusQuery, Conditions),
    responses(
        (status = 200, description = "The document", body = Status),
        (status = 304, description = "Nothing newer than `after`, or the version that `If-None-Match` names"),
        SubjectRefused, UnknownSubject, VersionDiffers,
    ),
)]
pub async fn read(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, Problem> {
    let (subject, rest) = split(query.as_deref().unwrap_or_default())?;
    let query = axum::extract::Query::<StatusQuery>::try_from_uri(&rest)?;
    status::read(State(app), Path(subject), Query(query.0), headers).await
}

/// The subject, and the other parameters.
fn split(query: &str) -> Result<(String, Uri), Problem> {
    let (mut subjects, mut rest) = (Vec::new(), form_urlencoded::Serializer::new(String::new()));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "subject" => subjects.push(value.into_owned()),
            _ => {
                rest.append_pair(&name, &value);
            }
        }
    }
    let wrong = || Problem::bad_request("bad-query", "name one subject: /v1/status?subject=order/o-1");
    let [subject] = <[String; 1]>::try_from(subjects).map_err(|_| wrong())?;
    let rest = Uri::try_from(format!("/?{}", rest.finish())).map_err(|_| wrong())?;
    Ok((subject, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_no_parts_that_clients_change() {
        for (subject, expected) in [
            ("order/o-1", "/v1/status/order/o-1"),
            ("a b?c#d%e", "/v1/status/a%20b%3Fc%23d%25e"),
            ("..a/.b/...", "/v1/status/..a/.b/..."),
            ("é\\&+", "/v1/status/%C3%A9%5C%26%2B"),
            (".", "/v1/status?subject=."),
            ("a/../b", "/v1/status?subject=a%2F..%2Fb"),
            ("a//b", "/v1/status?subject=a%2F%2Fb"),
            ("/", "/v1/status?subject=%2F"),
            ("%2e%2E", "/v1/status/%252e%252E"),
        ] {
            assert_eq!(url(subject), expected);
        }
    }

    #[test]
    fn the_subject_is_one_parameter_of_the_query() {
        let (subject, rest) = split("after=7&subject=a%2Fb+c&wait=1s").expect("a subject");
        assert_eq!((subject.as_str(), rest.to_string().as_str()), ("a/b c", "/?after=7&wait=1s"));
        for query in ["", "after=7", "subject=a&subject=a"] {
            assert_eq!(split(query).expect_err(query).code, "bad-query");
        }
    }
}
