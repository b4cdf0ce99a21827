//! The rules as an operator writes them, with errors that name the setting and the form it needs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{
    Access,
    authority::{Authority, Host},
    origin::{Origin, OwnHost},
};

/// A setting that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` names {value:?}; {expected}")]
pub struct SettingError {
    setting: &'static str,
    value: String,
    expected: &'static str,
}

const A_HOST: &str = "write a host as browsers send it, for instance shop.example, shop.example:8443 or \
                      https://shop.example; there are no patterns, and other than ASCII letters are written in Punycode (xn--...)";
const A_PROXY: &str = "write the address of a proxy or a network, for instance 127.0.0.1 or 10.0.0.0/8";
const AN_ORIGIN: &str = "write an origin as browsers send it, for instance https://shop.example or http://localhost:3000, \
                         without a path; there are no patterns";

impl Access {
    /// The rules for a server that was told to listen on `listen`, which may be a name.
    ///
    /// # Errors
    /// A host, a proxy or an origin is not written as it has to be.
    pub fn new(listen: &str, hosts: &[String], proxies: &[String], origins: &[String]) -> Result<Self, SettingError> {
        let mut own = read("server.hosts", A_HOST, hosts, OwnHost::parse)?;
        own.extend(name_of(listen));
        Ok(Self {
            hosts: own,
            proxies: read("server.proxies", A_PROXY, proxies, network)?,
            origins: read("live.origins", AN_ORIGIN, origins, origin)?,
        })
    }
}

fn read<T>(
    setting: &'static str,
    expected: &'static str,
    values: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, SettingError> {
    let one =
        |value: &String| parse(value.trim()).ok_or_else(|| SettingError { setting, value: value.clone(), expected });
    values.iter().map(one).collect()
}

/// The name in a listen address. Addresses are known anyway.
fn name_of(listen: &str) -> Option<OwnHost> {
    let is_name = listen.parse::<SocketAddr>().is_err();
    let Authority { host, .. } = Authority::parse(listen).filter(|_| is_name)?;
    let Host::Name(name) = host else { return None };
    OwnHost::parse(&name)
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.to_canonical().into()))
}

/// An operator may copy it from the address bar, in capital letters and with a slash at the end.
fn origin(text: &str) -> Option<Origin> {
    Origin::parse(&text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(hosts: &[&str], proxies: &[&str], origins: &[&str]) -> Result<Access, SettingError> {
        let owned = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        Access::new("127.0.0.1:8080", &owned(hosts), &owned(proxies), &owned(origins))
    }

    #[test]
    fn settings_are_read_as_operators_write_them() {
        let hosts = ["shop.example", " Weirgate:8080 ", "https://a.example:8443", "[fd00::1]", "10.1.2.3"];
        let proxies = ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "::ffff:10.0.0.1"];
        let origins = ["https://shop.example", "https://Shop.Example:443/", "http://localhost:3000", "http://[::1]:80"];
        let access = access(&hosts, &proxies, &origins).expect("good settings");
        assert_eq!((access.hosts.len(), access.proxies.len(), access.origins.len()), (5, 5, 4));
        assert_eq!(access.origins[0], access.origins[1]);
        assert_eq!(access.proxies[4].to_string(), "10.0.0.1/32");
    }

    #[test]
    fn wrong_settings_are_named() {
        for host in
            ["", "*", "*.example", "shop.example/", "shop.example/path", "ftp://shop.example", "a b", "bücher.example"]
        {
            let error = access(&[host], &[], &[]).expect_err(host).to_string();
            assert!(error.starts_with("`server.hosts` names") && error.contains("shop.example:8443"), "{error}");
        }
        for proxy in ["", "*", "proxy.internal", "10.0.0.0/33", "10.0.0.1:80", "10.0.0"] {
            let error = access(&[], &[proxy], &[]).expect_err(proxy).to_string();
            assert!(error.starts_with("`server.proxies` names") && error.contains("10.0.0.0/8"), "{error}");
        }
        for origin in
            ["", "*", "null", "shop.example", "https://*.example", "https://shop.example/path", "file:///x", "ws://a"]
        {
            let error = access(&[], &[], &[origin]).expect_err(origin).to_string();
            assert!(error.starts_with("`live.origins` names") && error.contains("https://shop.example"), "{error}");
        }
    }

    #[test]
    fn a_name_in_the_listen_address_is_known() {
        for (listen, known) in
            [("weirgate.internal:8080", 1), ("127.0.0.1:8080", 0), ("[::1]:8080", 0), ("0.0.0.0:80", 0)]
        {
            assert_eq!(Access::new(listen, &[], &[], &[]).expect("good settings").hosts.len(), known, "{listen}");
        }
    }
}
