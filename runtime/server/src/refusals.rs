//! What is refused before a route sees it, and errors of the libraries around the routes as problems.

use std::collections::BTreeSet;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{Problem, parameters::check};

/// Maximum length of a request's target: path and query, in bytes. A head that is larger than its own limit is refused by
/// the HTTP library.
const TARGET_BYTES_MAX: usize = 32 * 1024;

/// The refusal of what no route takes: a target that is too long, other parameters than the endpoint's (`None` where there is no
/// endpoint), an encoded body.
pub fn refusal(known: Option<&BTreeSet<String>>, request: &Request) -> Option<Response> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_BYTES_MAX {
        let detail = format!("the path and the query are {target} bytes long; the maximum is {TARGET_BYTES_MAX}");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, "target-too-long", detail).into_response());
    }
    if let Err(problem) = check(request.uri().query().unwrap_or_default(), known?) {
        return Some(problem.into_response());
    }
    if is_encoded(request.headers()) {
        let detail = "the body has a Content-Encoding, and none is undone; send it as it is";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-content-encoding", detail);
        return Some(([(header::ACCEPT_ENCODING, "identity")], problem).into_response());
    }
    None
}

/// The answer after a panic.
pub fn internal() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error; see the server's log")
}

/// Whether the body has an encoding besides `identity`.
fn is_encoded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Makes a problem of an error that is none, for instance of a missing page. Its headers stay, `Allow` among them.
pub fn as_problem(response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    // The shop has a page for what it does not have.
    let is_told = content_type == b"application/problem+json" || content_type.starts_with(b"text/html");
    if status.as_u16() < 400 || is_told {
        return response;
    }
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("not-found", "there is nothing here"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "this page does not have this method; see Allow"),
        StatusCode::RANGE_NOT_SATISFIABLE => ("bad-range", "the page does not have this range; see Content-Range"),
        status if status.is_server_error() => ("internal", "internal error; see the server's log"),
        _ => ("bad-request", "the request is not valid here"),
    };
    let mut headers = response.headers().clone();
    headers.remove(header::CONTENT_LENGTH);
    let mut response = Problem::new(status, code, detail).into_response();
    for (name, value) in &headers {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identity_is_no_encoding() {
        for (values, expected) in [
            (&[][..], false),
            (&["identity"], false),
            (&[""], false),
            (&["Identity, ,identity"], false),
            (&["gzip"], true),
            (&["identity, br"], true),
            (&["identity", "zstd"], true),
            (&["x"], true),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().expect("a value"));
            }
            assert_eq!(is_encoded(&headers), expected, "{values:?}");
        }
    }
}
