//! The host and port of a request, as in its `Host` header: parsed strictly, because what cannot be parsed cannot be checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A name in lower case, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Address(IpAddr),
    /// A name may end with a dot: browsers send it, and take it for another origin.
    Name(String),
}

/// `name`, `name:port`, `127.0.0.1:port`, `[::1]:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pub host: Host,
    pub port: Option<u16>,
}

impl Authority {
    /// `None` unless the text is a host and, optionally, a port.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, rest) = inner.split_once(']')?;
                (Host::Address(address.parse::<Ipv6Addr>().ok()?.into()), rest)
            }
            None => {
                let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::parse(host)?, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            None if !rest.is_empty() => return None,
            // The grammar of URLs allows a colon without a port.
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        Some(Self { host, port })
    }
}

impl Host {
    /// A name or an IPv4 address.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let is_name = name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label);
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }

    /// Whether both lead to the same machine: the dot at the end of a name makes no difference to that.
    pub fn is_same_machine(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) => undotted(one) == undotted(other),
            _ => self == other,
        }
    }

    /// Whether its address is not looked up in a DNS that an attacker may control. Browsers connect to addresses as they
    /// are, and to `localhost` and the names below it at loopback (RFC 6761, section 6.3).
    pub fn cannot_be_rebound(&self) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Name(name) => {
                let name = undotted(name);
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }
}

fn undotted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_parsed_strictly() {
        let name = |name: &str| Host::Name(name.to_owned());
        let address = |address: &str| Host::Address(address.parse().expect("an address"));
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for (text, host, port) in [
            ("localhost", name("localhost"), None),
            ("LOCALHOST:8080", name("localhost"), Some(8080)),
            ("localhost.:8080", name("localhost."), Some(8080)),
            ("localhost:", name("localhost"), None),
            ("shop.example:0065535", name("shop.example"), Some(65535)),
            ("my_service", name("my_service"), None),
            ("xn--bcher-kva.example", name("xn--bcher-kva.example"), None),
            ("127.0.0.1:80", address("127.0.0.1"), Some(80)),
            ("[::1]", address("::1"), None),
            ("[0:0::1]:8080", address("::1"), Some(8080)),
            // Browsers send addresses in their usual form, so these are names.
            ("127.1", name("127.1"), None),
            ("0x7f000001", name("0x7f000001"), None),
            ("127.0.0.01", name("127.0.0.01"), None),
            (&longest, name(&longest), None),
        ] {
            assert_eq!(Authority::parse(text), Some(Authority { host, port }), "{text}");
        }
        for text in [
            "",
            ".",
            ":",
            ":8080",
            "localhost:x",
            "localhost:-1",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "localhost..",
            "a..b",
            ".localhost",
            "::1",
            "[::1",
            "[::1]8080",
            "[::1%25eth0]",
            "[127.0.0.1]",
            "[v1.a]",
            "[]",
            "a b",
            "local host",
            "localhost/",
            "user@localhost",
            "localhost,evil.test",
            "http://localhost",
            "bücher.example",
            "a%2eb",
            "*",
            &format!("{longest}c"),
            &"a".repeat(64),
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_in_the_dns_can_be_rebound() {
        for (text, cannot) in [
            ("localhost", true),
            ("LocalHost.", true),
            ("shop.localhost", true),
            ("[::1]", true),
            ("127.0.0.1", true),
            ("203.0.113.7", true),
            ("localhost.evil.test", false),
            ("notlocalhost", false),
            ("127.0.0.1.evil.test", false),
            ("127.1", false),
            ("0x7f.1", false),
            ("evil.test", false),
        ] {
            let host = Authority::parse(text).expect(text).host;
            assert_eq!(host.cannot_be_rebound(), cannot, "{text}");
        }
    }
}
