//! The opening handshake: RFC 6455, section 4.2. The rules are functions of the request's head.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hyper::body::Body as _;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::Problem;

const VERSION: HeaderValue = HeaderValue::from_static("13");
const KEY_BYTES: usize = 16;
/// A key's last character has four bits too many; clients that draw random characters set them.
const KEY_ENCODING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// Whether the client asks for a WebSocket.
pub fn is_requested(method: &Method, headers: &HeaderMap) -> bool {
    let names = |name, wanted: &str| elements(headers, name).any(|element| element.eq_ignore_ascii_case(wanted));
    method == Method::GET && names(header::UPGRADE, "websocket") && names(header::CONNECTION, "upgrade")
}

/// The answer to another version of the protocol than 13; `None` if it is 13.
pub fn unsupported_version(headers: &HeaderMap) -> Option<Response> {
    if headers.get_all(header::SEC_WEBSOCKET_VERSION).iter().eq([&VERSION]) {
        return None;
    }
    let detail = "WebSockets are supported in version 13, RFC 6455: send Sec-WebSocket-Version: 13, once";
    let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, "websocket-version", detail);
    let fields = [
        (header::SEC_WEBSOCKET_VERSION, VERSION),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
    ];
    Some((fields, problem).into_response())
}

/// Checks a request for a WebSocket with `protocol`. Returns the value of `Sec-WebSocket-Accept`.
pub fn check(request: &Request<Body>, protocol: &str) -> Result<HeaderValue, Problem> {
    if request.version() < Version::HTTP_11 || !request.body().is_end_stream() {
        let detail = "a WebSocket begins with a GET request of HTTP/1.1 that has no body";
        return Err(Problem::bad_request("not-a-websocket", detail));
    }
    let accept = accept(request.headers())?;
    if !elements(request.headers(), header::SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == protocol) {
        return Err(Problem::bad_request("no-subprotocol", format!("ask for the subprotocol {protocol}")));
    }
    Ok(accept)
}

fn accept(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|key| keys.next().is_none() && is_key(key.as_bytes()));
    key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()).ok_or_else(|| {
        let detail = "send one Sec-WebSocket-Key: 16 random bytes in base64, 24 characters";
        Problem::bad_request("bad-websocket-key", detail)
    })
}

fn is_key(key: &[u8]) -> bool {
    KEY_ENCODING.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

/// The elements of a list field, over all of its lines.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The answer that makes the connection a WebSocket.
pub fn switching_protocols(accept: HeaderValue, protocol: &'static str) -> Response {
    let fields = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol)),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, fields).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        let valid = [
            "dGhlIHNhbXBsZSBub25jZQ==",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAAB==",
            "////////////////////+w==",
        ];
        let invalid = [
            "",
            "abc",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZQ==dGhl",
            " dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25j*Q==",
            "----------------------==",
        ];
        for (keys, is_valid) in [(&valid[..], true), (&invalid, false)] {
            for key in keys {
                assert_eq!(is_key(key.as_bytes()), is_valid, "{key:?}");
            }
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accept(&headers).expect("a key"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_websocket_is_asked_for_by_tokens_of_any_case_on_any_line() {
        use header::{CONNECTION, UPGRADE};
        let asks = |lines: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            is_requested(&Method::GET, &headers)
        };
        assert!(asks(&[(UPGRADE, "WebSocket"), (CONNECTION, "keep-alive, Upgrade")]));
        assert!(asks(&[(UPGRADE, "h2c"), (UPGRADE, "websocket"), (CONNECTION, "keep-alive"), (CONNECTION, "upgrade")]));
        assert!(!asks(&[(UPGRADE, "websocket")]) && !asks(&[(CONNECTION, "upgrade")]));
        assert!(!asks(&[(UPGRADE, "websockets"), (CONNECTION, "upgrade")]));
    }
}
