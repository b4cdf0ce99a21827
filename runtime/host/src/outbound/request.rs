//! A request: as the guest made it, and as it is sent after the checks.

use ureq::http::{HeaderMap, Method};

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
