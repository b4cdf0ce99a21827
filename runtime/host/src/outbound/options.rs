//! The operator's settings for outbound calls, for all handlers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::resolve::{Resolve, SystemResolver};

/// A host's settings for outbound calls.
#[derive(Debug, Clone)]
pub struct OutboundOptions {
    /// Allowed destinations that are not on the public internet, each with its port: a name, for any of its addresses
    /// (`payments.internal:8443`), or an address (`127.0.0.1:9000`, `[fd00::7]:80`). A handler still has to name the host in
    /// its manifest.
    pub allow_private: Vec<String>,
    /// The resolver of names.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for OutboundOptions {
    fn default() -> Self {
        Self { allow_private: Vec::new(), resolver: Arc::new(SystemResolver::default()) }
    }
}

impl OutboundOptions {
    /// Whether an address that is not public may be called. `host` is the URL's host.
    pub(super) fn allows(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        self.allow_private.iter().any(|allowed| match allowed.parse::<SocketAddr>() {
            Ok(address) => address == SocketAddr::new(ip, port),
            Err(_) => allowed.rsplit_once(':').is_some_and(|(name, of_name)| {
                name.eq_ignore_ascii_case(host) && of_name.parse::<u16>().is_ok_and(|of_name| of_name == port)
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_for_one_port_of_one_name_or_address() {
        let allow_private = vec!["127.0.0.1:9000".into(), "[::1]:9000".into(), "Shop.internal:80".into()];
        let options = OutboundOptions { allow_private, ..OutboundOptions::default() };
        for (host, ip, port, allowed) in [
            ("127.0.0.1", "127.0.0.1", 9000, true),
            ("other.name", "127.0.0.1", 9000, true),
            ("[::1]", "::1", 9000, true),
            ("shop.internal", "10.0.0.7", 80, true),
            ("127.0.0.1", "127.0.0.1", 9001, false),
            ("127.0.0.1", "127.0.0.2", 9000, false),
            ("shop.internal", "10.0.0.7", 81, false),
            ("a.shop.internal", "10.0.0.7", 80, false),
            ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 9000, false),
        ] {
            assert_eq!(options.allows(host, ip.parse().expect("an address"), port), allowed, "{host} {ip} {port}");
        }
    }
}
