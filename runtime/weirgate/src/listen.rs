//! The addresses to listen on: loopback ones, unless the operator opens the server to other machines.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, ensure};

/// The addresses of `listen`, which may be a name. They are bound as they were judged.
pub fn addresses(listen: &str, is_open: bool) -> Result<Vec<SocketAddr>> {
    let addresses: Vec<_> =
        listen.to_socket_addrs().with_context(|| format!("cannot listen on {listen}: write address:port"))?.collect();
    ensure!(!addresses.is_empty(), "cannot listen on {listen}: the name has no address");
    let reachable = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
    if let Some(address) = reachable.filter(|_| !is_open) {
        anyhow::bail!(
            "`server.listen` is {address}, which other machines can reach, and there is no access control: every client \
             could read all events and deploy handlers. Listen on 127.0.0.1 behind a proxy (docs/guides/proxies.md), or, \
             on a network that you trust, set `server.open = true` (WEIRGATE__SERVER__OPEN=true)"
        );
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_an_open_server() {
        for (listen, is_loopback) in [
            ("127.0.0.1:0", true),
            ("127.8.8.8:80", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]:8080", true),
            ("localhost:8080", true),
            ("0.0.0.0:8080", false),
            ("[::]:8080", false),
            ("192.0.2.1:8080", false),
            ("[::ffff:192.0.2.1]:8080", false),
        ] {
            assert!(addresses(listen, true).is_ok(), "{listen}");
            let told = addresses(listen, false).map_err(|error| error.to_string());
            assert_eq!(told.is_ok(), is_loopback, "{listen}: {told:?}");
            assert!(told.is_ok() || told.is_err_and(|error| error.contains("server.open = true")));
        }
        for wrong in ["", "8080", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:80"] {
            let error = format!("{:#}", addresses(wrong, true).expect_err(wrong));
            assert!(error.contains("write address:port"), "{error}");
        }
    }
}
