//! How a name is resolved, and which of its addresses may be connected to. A name is looked up once per call; connections go
//! only to the addresses checked here, so a name server that answers differently the next time gains nothing.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use url::Host;

use super::{
    OutboundOptions,
    address::not_public,
    error::{FetchError, denied},
    target::Target,
};

/// Maximum number of concurrent look-ups. The system's function cannot be interrupted, so a look-up that is given up
/// continues in its thread until the system ends it.
const LOOKUPS_MAX: usize = 64;

/// Resolves names.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of a name. Called once per call, and only for names.
    ///
    /// # Errors
    /// There is none, or not within `timeout`.
    fn resolve(&self, name: &str, timeout: Duration) -> Result<Vec<IpAddr>, ResolveError>;
}

/// A name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name lookup timed out")]
    TimedOut,
    #[error("{0}")]
    Failed(String),
}

/// The system's resolver: `/etc/hosts`, then its name servers.
#[derive(Debug, Clone, Default)]
pub struct SystemResolver {
    under_way: Arc<AtomicUsize>,
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str, timeout: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let slot = LookupSlot::take(&self.under_way)?;
        let (answer, answered) = sync_channel(1);
        let name = name.to_owned();
        let look_up = move || {
            let _slot = slot;
            let found = (name.as_str(), 0).to_socket_addrs();
            // The receiver is gone after the timeout.
            let _ = answer.send(found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()));
        };
        let failed = |error: std::io::Error| ResolveError::Failed(error.to_string());
        std::thread::Builder::new().name("lookup".into()).spawn(look_up).map_err(failed)?;
        match answered.recv_timeout(timeout) {
            Ok(found) => found.map_err(failed),
            Err(RecvTimeoutError::Timeout) => Err(ResolveError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(ResolveError::Failed("the look-up was aborted".to_owned())),
        }
    }
}

/// Held while a look-up is in progress.
struct LookupSlot(Arc<AtomicUsize>);

impl LookupSlot {
    fn take(under_way: &Arc<AtomicUsize>) -> Result<Self, ResolveError> {
        let slot = Self(Arc::clone(under_way));
        if under_way.fetch_add(1, Ordering::SeqCst) >= LOOKUPS_MAX {
            return Err(ResolveError::Failed(format!("{LOOKUPS_MAX} names are being looked up already")));
        }
        Ok(slot)
    }
}

impl Drop for LookupSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The addresses that a call to `target` may connect to: all of its host's, or none if one of them is not public.
pub(super) fn addresses(
    target: &Target,
    options: &OutboundOptions,
    timeout: Duration,
) -> Result<Vec<SocketAddr>, FetchError> {
    let (host, port) = (target.host(), target.port());
    let ips = match host {
        Host::Ipv4(ip) => vec![IpAddr::V4(ip)],
        Host::Ipv6(ip) => vec![IpAddr::V6(ip)],
        Host::Domain(name) => options.resolver.resolve(name, timeout).map_err(|error| match error {
            ResolveError::TimedOut => FetchError::TimedOut,
            ResolveError::Failed(reason) => FetchError::Unreachable(format!("{name} has no address: {reason}")),
        })?,
    };
    let host = host.to_string();
    for ip in &ips {
        if let Some(what) = not_public(*ip).filter(|_| !options.allows(&host, *ip, port)) {
            return Err(denied(format!(
                "{host} is not on the public internet: its address is {what}. The operator can allow {host}:{port}"
            )));
        }
    }
    if ips.is_empty() {
        return Err(FetchError::Unreachable(format!("{host} has no address")));
    }
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_names_are_looked_up_at_once_than_there_are_slots() {
        let resolver = SystemResolver::default();
        let slots: Vec<LookupSlot> =
            (0..LOOKUPS_MAX).map(|_| LookupSlot::take(&resolver.under_way).expect("there is room")).collect();
        let refused = resolver.resolve("localhost", Duration::from_secs(10));
        assert!(matches!(&refused, Err(ResolveError::Failed(reason)) if reason.contains("64 names")), "{refused:?}");
        drop(slots);
        let found = resolver.resolve("localhost", Duration::from_secs(10)).expect("it is in /etc/hosts");
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
    }
}
