//! The destination of a call: a URL, parsed as browsers parse it, and whether the manifest names its host. Parsing comes
//! first, so that `http://0x7f.1/` is checked as `http://127.0.0.1/`, which is where it leads.

use url::{Host, Origin, Url};

use super::error::{FetchError, denied};

const URL_BYTES_MAX: usize = 8 * 1024;

/// An absolute HTTP or HTTPS URL without a user and without a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target(Url);

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        check_length(text)?;
        let url = Url::parse(text).map_err(|error| denied(format!("the URL cannot be read: {error}")))?;
        Self::checked(url)
    }

    /// The target of a redirect.
    pub(super) fn join(&self, location: &str) -> Result<Self, FetchError> {
        check_length(location)?;
        let url = self.0.join(location);
        let url = url.map_err(|error| denied(format!("the redirect's URL cannot be read: {error}")))?;
        Self::checked(url)
    }

    fn checked(mut url: Url) -> Result<Self, FetchError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(denied(format!("the URL's scheme is {}; only http and https are called", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(denied("the URL holds a user's name or password; put those into a header"));
        }
        if url.host().is_none() {
            return Err(denied("the URL names no host"));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    pub(super) fn host(&self) -> Host<&str> {
        // It has one; an empty name would be refused by every list.
        self.0.host().unwrap_or(Host::Domain(""))
    }

    pub(super) fn port(&self) -> u16 {
        // Both schemes have a default.
        self.0.port_or_known_default().unwrap_or(0)
    }

    /// The host's id in breakers: its name, with the port unless that is the scheme's default.
    pub(super) fn host_and_port(&self) -> String {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_string(),
        }
    }

    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the manifest names scheme, host and port: exactly these, in any spelling.
    pub(super) fn is_listed(&self, hosts: &[String]) -> Result<(), FetchError> {
        let origin = self.0.origin();
        if hosts.iter().any(|listed| origin_of(listed).is_some_and(|listed| listed == origin)) {
            return Ok(());
        }
        let origin = origin.ascii_serialization();
        Err(denied(format!(
            "the handler may not call {origin}: add \"{origin}\" to capabilities.hosts in its manifest"
        )))
    }
}

fn check_length(url: &str) -> Result<(), FetchError> {
    if url.len() > URL_BYTES_MAX {
        return Err(denied(format!("the URL is {} bytes long; at most {URL_BYTES_MAX} are taken", url.len())));
    }
    Ok(())
}

/// Whether two entries of lists name the same scheme, host and port, in any spelling.
pub(super) fn is_same_origin(one: &str, other: &str) -> bool {
    origin_of(one).is_some_and(|origin| origin_of(other) == Some(origin))
}

fn origin_of(listed: &str) -> Option<Origin> {
    Some(Url::parse(listed).ok()?.origin()).filter(Origin::is_tuple)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_listed(url: &str, listed: &[&str]) -> bool {
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        Target::parse(url).and_then(|target| target.is_listed(&listed)).is_ok()
    }

    #[test]
    fn a_host_is_listed_with_its_scheme_and_port_only() {
        let listed = ["https://api.example.com", "http://shop.internal:8080", "https://[2606:4700::1]"];
        for url in [
            "https://api.example.com/a?b=c#d",
            "https://API.Example.com:443/",
            "HTTPS:\\\\api.example.com\\path",
            "http://shop.internal:8080",
            "https://[2606:4700:0::1]/",
        ] {
            assert!(is_listed(url, &listed), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com./",
            "https://api.example.com.evil.example/",
            "https://evil.example/https://api.example.com",
            "https://evil.example\\@api.example.com/",
            "https://evil.example#@api.example.com/",
            "https://evil.example?@api.example.com/",
            "https://x.api.example.com/",
            "https://shop.internal:8080",
            "http://shop.internal",
        ] {
            assert!(!is_listed(url, &listed), "{url}");
        }
        assert!(!is_listed("https://api.example.com/", &[]), "nothing is listed");
    }

    #[test]
    fn unusual_urls_are_denied() {
        for url in [
            "",
            "api.example.com",
            "//api.example.com/",
            "/path",
            "ftp://api.example.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "https://",
            "https://user@api.example.com/",
            "https://:secret@api.example.com/",
            "https://a b/",
            "https://[::1/",
            "https://api.example.com:99999/",
        ] {
            let error = Target::parse(url).expect_err(url);
            assert!(matches!(error, FetchError::Denied(_)), "{url}: {error:?}");
        }
        assert!(Target::parse(&format!("https://a/{}", "x".repeat(URL_BYTES_MAX))).is_err());
    }

    #[test]
    fn a_hosts_breaker_id_omits_the_default_port() {
        for (url, host) in [
            ("https://api.example.com:443/", "api.example.com"),
            ("http://api.example.com:443/", "api.example.com:443"),
            ("http://[2606:4700::1]:81/", "[2606:4700::1]:81"),
        ] {
            assert_eq!(Target::parse(url).expect("a URL").host_and_port(), host);
        }
    }
}
