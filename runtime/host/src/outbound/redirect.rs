//! How a redirect changes a request, as in browsers (the Fetch standard, "HTTP-redirect fetch"). Only builds the new
//! request, which passes all checks again.

use ureq::http::Method;
use weirgate_types::StepAnswer;

use super::{error::FetchError, headers, request::Outgoing};

/// Maximum number of redirects that one call follows.
pub(super) const REDIRECTS_MAX: u32 = 5;

/// The request that the answer redirects to, if it does.
pub(super) fn next(request: &Outgoing, answer: &StepAnswer) -> Result<Option<Outgoing>, FetchError> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some((_, location)) = answer.headers.iter().find(|(name, _)| name == "location") else { return Ok(None) };
    let mut next = Outgoing { target: request.target.join(location)?, ..request.clone() };
    let becomes_get = match answer.status {
        301 | 302 => next.method == Method::POST,
        303 => next.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = None;
        headers::forget_body(&mut next.headers);
    }
    if !next.target.is_same_origin(&request.target) {
        headers::forget_origin(&mut next.headers);
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::target::Target;
    use ureq::http::{HeaderMap, HeaderValue, header};

    fn request(method: Method) -> Outgoing {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("sk-42");
        secret.set_sensitive(true);
        headers.insert("x-key", secret);
        headers.insert("x-plain", HeaderValue::from_static("1"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let target = Target::parse("https://a.example/x/y?z").expect("a URL");
        Outgoing { target, method, headers, body: Some(b"body".to_vec()) }
    }

    fn redirected(method: Method, status: u16, location: &str) -> Outgoing {
        let headers = vec![("location".to_owned(), location.to_owned())];
        let answer = StepAnswer { status, headers, body: Vec::new() };
        next(&request(method), &answer).expect("a good URL").expect("a redirect")
    }

    #[test]
    fn the_method_and_the_body_follow_the_status() {
        for (method, status, expected) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::PUT, 302, Method::PUT),
            (Method::PUT, 303, Method::GET),
            (Method::HEAD, 303, Method::HEAD),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
        ] {
            let next = redirected(method.clone(), status, "/n");
            assert_eq!(next.method, expected, "{method} {status}");
            assert_eq!(next.body.is_some(), expected != Method::GET, "{method} {status}");
            assert_eq!(next.headers.contains_key(header::CONTENT_TYPE), expected != Method::GET);
            assert_eq!(next.target.as_str(), "https://a.example/n");
        }
    }

    #[test]
    fn another_origin_gets_nothing_that_was_meant_for_the_first() {
        for (location, is_same) in [
            ("n", true),
            ("//a.example:443/", true),
            ("https://b.example/", false),
            ("http://a.example/", false),
            ("https://a.example:444/", false),
            ("https://a.example./", false),
        ] {
            let next = redirected(Method::POST, 307, location);
            for name in ["x-key", "authorization", "cookie"] {
                assert_eq!(next.headers.contains_key(name), is_same, "{location}: {name}");
            }
            assert!(next.headers.contains_key("x-plain"), "{location}");
        }
    }

    #[test]
    fn an_answer_without_a_redirect_is_final() {
        let headers = vec![("location".to_owned(), "/n".to_owned())];
        for status in [200, 201, 300, 304, 400] {
            let answer = StepAnswer { status, headers: headers.clone(), body: Vec::new() };
            assert!(next(&request(Method::GET), &answer).is_ok_and(|next| next.is_none()), "{status}");
        }
        let answer = StepAnswer { status: 302, headers: Vec::new(), body: Vec::new() };
        assert!(next(&request(Method::GET), &answer).is_ok_and(|next| next.is_none()), "it says not where to");
    }
}
