//! A request: as the guest made it, and as it is sent after the checks.

use sha2::{Digest as _, Sha256};
use ureq::http::{HeaderMap, Method};
use weirgate_types::{Digest, StepRequest};

use super::{
    error::{FetchError, denied},
    headers,
    secrets::Secrets,
    target::Target,
};

/// The contract's request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout_ms: Option<u32>,
}

impl Request {
    /// What is recorded of it. Headers count in their order; each part with its length, so that no other division of the same
    /// bytes is the same request.
    pub(crate) fn to_record(&self) -> StepRequest {
        let headers = self.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let parts =
            [self.method.as_bytes(), self.url.as_bytes()].into_iter().chain(headers).chain(self.body.as_deref());
        let hash = parts
            .fold(Sha256::new(), |hash, part| hash.chain_update((part.len() as u64).to_le_bytes()).chain_update(part));
        StepRequest { method: self.method.clone(), url: self.url.clone(), digest: Digest(hash.finalize().into()) }
    }
}

/// A request that passed all checks that do not need its host.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl Outgoing {
    pub(super) fn check(request: Request, secrets: &Secrets, idempotency_key: &str) -> Result<Self, FetchError> {
        let Request { method, url, headers, body, .. } = request;
        let target = Target::parse(&url)?;
        let method = method_of(&method)?;
        let mut headers = headers::outgoing(&headers, secrets, &target)?;
        headers::add_idempotency_key(&mut headers, idempotency_key)?;
        Ok(Self { target, method, headers, body })
    }
}

fn method_of(name: &str) -> Result<Method, FetchError> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    known.into_iter().find(|method| method.as_str() == name).ok_or_else(|| {
        let name: String = name.chars().take(32).collect();
        denied(format!("the method is {name:?}; it may be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)], body: Option<&[u8]>) -> StepRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (method, url) = ("POST".to_owned(), "https://pay.example/charges".to_owned());
        Request { method, url, headers, body: body.map(<[u8]>::to_vec), timeout_ms: None }.to_record()
    }

    #[test]
    fn every_part_of_a_request_counts() {
        let first = request(&[("a", "1")], Some(b"100"));
        assert_eq!(first, request(&[("a", "1")], Some(b"100")));
        for other in [
            request(&[("a", "1")], Some(b"105")),
            request(&[("a", "11")], Some(b"00")),
            request(&[("a", "2")], Some(b"100")),
            request(&[], Some(b"100")),
            request(&[("a", "1"), ("100", "")], None),
            request(&[("a", "1")], None),
        ] {
            assert_ne!(first.digest, other.digest, "{other:?}");
        }
        assert_ne!(request(&[], None).digest, request(&[], Some(b"")).digest, "no body, and an empty one");
    }
}
