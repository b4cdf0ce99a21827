//! Origins of pages, and the hosts by which browsers know this server.

use super::authority::{Authority, Host};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// The origin of a page, as browsers send it: `https://shop.example`, `http://localhost:3000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
}

/// A host under which browsers reach this server, as configured: `shop.example`, `shop.example:8443`, `https://shop.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnHost {
    /// `None`: both.
    scheme: Option<Scheme>,
    host: Host,
    /// `None`: that of the scheme.
    port: Option<u16>,
}

impl Scheme {
    pub fn parse(text: &str) -> Option<Self> {
        // Some proxies name a WebSocket's scheme.
        let is = |names: [&str; 2]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
        if is(["http", "ws"]) { Some(Self::Http) } else { is(["https", "wss"]).then_some(Self::Https) }
    }

    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// `scheme://authority`, nothing else.
fn split(text: &str) -> Option<(Scheme, Authority)> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    Some((scheme, Authority::parse(authority)?))
}

impl Origin {
    /// `None` for `null`, for the origins of extensions and files, and for what is no origin.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, Authority { host, port }) = split(text)?;
        Some(Self { scheme, host, port: port.unwrap_or(scheme.port()) })
    }
}

impl OwnHost {
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, Authority { host, port }) = match text.contains("://") {
            true => split(text).map(|(scheme, authority)| (Some(scheme), authority))?,
            false => (None, Authority::parse(text)?),
        };
        Some(Self { scheme, host, port })
    }

    /// Any port will do: a `Host` is checked for its name only, and proxies and port forwarding change the port.
    pub fn is_at(&self, host: &Host) -> bool {
        self.host.is_same_machine(host)
    }

    /// Whether pages of this origin were served by this server.
    pub fn serves(&self, origin: &Origin) -> bool {
        self.host.is_same_machine(&origin.host)
            && self.scheme.is_none_or(|scheme| scheme == origin.scheme)
            && self.port.unwrap_or(origin.scheme.port()) == origin.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_parsed_as_browsers_write_them() {
        for (text, same) in [
            ("https://shop.example", "https://shop.example:443"),
            ("http://[::1]:8080", "http://[0::1]:8080"),
            ("http://LOCALHOST", "http://localhost:80"),
        ] {
            assert_eq!(Origin::parse(text).expect(text), Origin::parse(same).expect(same));
        }
        for (text, other) in [
            ("https://shop.example", "http://shop.example"),
            ("https://shop.example", "https://shop.example."),
            ("https://shop.example", "https://shop.example:8443"),
        ] {
            assert_ne!(Origin::parse(text).expect(text), Origin::parse(other).expect(other));
        }
        for text in [
            "",
            "null",
            "*",
            "shop.example",
            "https://",
            "https:shop.example",
            "https://shop.example/",
            "https://shop.example https://b",
            "file://",
            "chrome-extension://abc",
            "ws://shop.example",
            "https://user@shop.example",
            "HTTPS://shop.example",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_serves_its_own_pages() {
        for (own, origin, serves) in [
            ("shop.example", "https://shop.example", true),
            ("shop.example", "http://shop.example", true),
            ("Shop.example.", "https://shop.example", true),
            ("shop.example", "https://shop.example:8443", false),
            ("shop.example:8443", "https://shop.example:8443", true),
            ("shop.example:8443", "https://shop.example", false),
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "http://shop.example", false),
            ("http://shop.example:8080", "http://shop.example:8080", true),
            ("shop.example", "https://evil.shop.example", false),
            ("192.168.1.5:8080", "http://192.168.1.5:8080", true),
        ] {
            let serving = OwnHost::parse(own).expect(own).serves(&Origin::parse(origin).expect(origin));
            assert_eq!(serving, serves, "{own} {origin}");
        }
    }
}
