//! A server's address as users give it, and the proxy that requests to it take.

use std::net::IpAddr;

use anyhow::Result;
use hyper_util::client::proxy::matcher::Matcher;
use tokio_tungstenite::tungstenite::http::Uri;
use url::{Host, Url};

use crate::failure::usage;

/// The address of a server, checked.
#[derive(Debug, Clone)]
pub struct Address(Url);

impl Address {
    /// Takes a URL; without a scheme it is one of HTTP: `localhost:8080`.
    pub fn parse(given: &str) -> Result<Self> {
        let wrong = |what: &str| usage(format!("--url {given:?}: {what}; write for instance http://127.0.0.1:8080"));
        let given_url = given.trim();
        let with_scheme = match given_url.contains("://") {
            true => given_url.to_owned(),
            false => format!("http://{given_url}"),
        };
        let url = Url::parse(&with_scheme).map_err(|error| wrong(&error.to_string()))?;
        match url.scheme() {
            "http" => {}
            "https" => return Err(wrong("this client speaks plain HTTP, so use the server's own port or a tunnel")),
            _ => return Err(wrong("only http is supported")),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("a server's address has no query and no fragment"));
        }
        Ok(Self(url))
    }

    /// The URL of a path, which begins with `/` and is escaped.
    pub fn with(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }

    /// As shown in messages: without a password.
    pub fn shown(&self) -> String {
        let mut url = self.0.clone();
        let _ = (url.set_password(None), url.set_username(""));
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// Whether it is this machine: no proxy can know it.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
            }
            Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
            Some(Host::Ipv6(address)) => {
                let mapped = address.to_ipv4_mapped().map(IpAddr::from);
                address.is_loopback() || address.is_unspecified() || mapped.is_some_and(|address| address.is_loopback())
            }
            None => false,
        }
    }

    /// The proxy that the environment names for this server, without its password.
    pub fn proxy(&self) -> Option<String> {
        if self.is_loopback() {
            return None;
        }
        proxy_of(&Matcher::from_env(), self.0.as_str())
    }
}

fn proxy_of(matcher: &Matcher, url: &str) -> Option<String> {
    let proxy = matcher.intercept(&url.parse::<Uri>().ok()?)?;
    let uri = proxy.uri();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme() {
        for (given, url) in [
            ("localhost:8080", "http://localhost:8080"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("example.com", "http://example.com"),
            ("http://example.com/", "http://example.com"),
            ("http://example.com:81/weirgate/", "http://example.com:81/weirgate"),
            (" HTTP://Example.com ", "http://example.com"),
            ("http://ada:secret@example.com", "http://example.com"),
        ] {
            assert_eq!(Address::parse(given).expect(given).shown(), url);
        }
        for wrong in
            ["", "http://", "localhost:99999", "ftp://a", "https://a", "a b:1", "http://a/?b", "http://a/#b", "://"]
        {
            let error = Address::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains("write for instance http://") && !error.contains("builder"), "{error}");
        }
    }

    #[test]
    fn loopback_is_recognised_in_all_its_spellings() {
        for (given, is_loopback) in [
            ("localhost:1", true),
            ("LocalHost.", true),
            ("shop.localhost", true),
            ("127.9.9.9", true),
            ("0.0.0.0:8080", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.example.com", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(Address::parse(given).expect(given).is_loopback(), is_loopback, "{given}");
        }
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let matcher = Matcher::builder().http("http://ada:secret@proxy.example:3128").no("internal.example").build();
        let of = |url| proxy_of(&matcher, url);
        assert_eq!(of("http://weirgate.example/").as_deref(), Some("http://proxy.example:3128"));
        assert_eq!(of("http://internal.example/"), None);
    }
}
