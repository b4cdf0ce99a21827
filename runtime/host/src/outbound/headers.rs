//! A request's headers: those that the guest set, checked and with secrets inserted, and the one that the host adds.

use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    error::{FetchError, denied},
    secrets::Secrets,
    target::Target,
};

const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers that frame the message, concern the connection or name the host. A guest that could set these could make one
/// request look like two.
const OF_THE_HOST: [HeaderName; 10] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

/// The headers to send to `target`. Values that hold a secret are marked sensitive, which identifies them later.
pub(super) fn outgoing(
    given: &[(String, String)],
    secrets: &Secrets,
    target: &Target,
) -> Result<HeaderMap, FetchError> {
    let bytes = given.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(denied(format!(
            "the request has {} headers of {bytes} bytes; at most {HEADERS_MAX} of {HEADER_BYTES_MAX} are taken",
            given.len()
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let shown: String = name.chars().take(64).collect();
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| denied(format!("{shown:?} is not the name of a header")))?;
        if OF_THE_HOST.contains(&name) {
            return Err(denied(format!("the header `{name}` is set by the host")));
        }
        let filled = secrets.fill(value, &name, target)?;
        let mut value = HeaderValue::from_str(filled.as_ref().unwrap_or(value))
            .map_err(|_| denied(format!("the value of the header `{name}` holds a control character")))?;
        value.set_sensitive(filled.is_some());
        headers.append(name, value);
    }
    Ok(headers)
}

/// Adds `Idempotency-Key` unless the guest has set one.
pub(super) fn add_idempotency_key(headers: &mut HeaderMap, key: &str) -> Result<(), FetchError> {
    if !headers.contains_key(&IDEMPOTENCY_KEY) {
        let key = HeaderValue::from_str(key).map_err(|_| denied("the idempotency key is not a valid header value"))?;
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    Ok(())
}

/// Removes headers that are meant for one origin only.
pub(super) fn forget_origin(headers: &mut HeaderMap) {
    let secret = |(name, value): (&HeaderName, &HeaderValue)| value.is_sensitive().then(|| name.clone());
    let secret: Vec<_> = headers.iter().filter_map(secret).collect();
    for name in secret.iter().chain(&[header::AUTHORIZATION, header::COOKIE]) {
        headers.remove(name);
    }
}

/// Removes headers that describe a body.
pub(super) fn forget_body(headers: &mut HeaderMap) {
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoOutbound;

    fn outgoing_of(given: &[(&str, &str)]) -> Result<HeaderMap, FetchError> {
        let given: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let target = Target::parse("https://a.example/").expect("a URL");
        outgoing(&given, &Secrets::load(&[], &NoOutbound), &target)
    }

    #[test]
    fn headers_that_frame_the_message_are_denied() {
        for name in ["Host", "content-length", "Transfer-Encoding", "connection", "Keep-Alive", "upgrade", "Expect"] {
            let denied = outgoing_of(&[(name, "1")]).expect_err(name);
            assert!(matches!(&denied, FetchError::Denied(reason) if reason.contains("set by the host")), "{denied:?}");
        }
        for (name, value) in [("", "x"), ("a b", "x"), ("a\r\nb", "x"), ("ä", "x"), ("x", "a\r\nhost: b"), ("x", "\0")]
        {
            assert!(outgoing_of(&[(name, value)]).is_err(), "{name:?}: {value:?}");
        }
        assert!(outgoing_of(&[("a", "b"); HEADERS_MAX]).is_ok_and(|headers| headers.len() == HEADERS_MAX));
        assert!(outgoing_of(&[("a", "b"); HEADERS_MAX + 1]).is_err());
        assert!(outgoing_of(&[("a", &"b".repeat(HEADER_BYTES_MAX))]).is_err());
    }

    #[test]
    fn the_guests_own_idempotency_key_stays() {
        let mut headers = outgoing_of(&[("IDEMPOTENCY-key", "mine")]).expect("good headers");
        add_idempotency_key(&mut headers, "ours").expect("nothing to do");
        assert_eq!(headers.get(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes), Some(b"mine".as_slice()));
    }
}
