//! One exchange with one host: connects to addresses that were checked, sends, and reads a bounded answer. No redirect, no
//! proxy, no cookie, no second name look-up.
//!
//! Each exchange has its own connection. A shared one would be open to addresses that were checked for another handler, and
//! a host with mixed-up answers could give one handler's answer to another.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ureq::{
    Agent, Error,
    config::Config,
    http::{self, Method, Uri},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport},
    },
};
use weirgate_types::StepAnswer;

use super::{
    OutboundOptions,
    error::{FetchError, denied},
    request::Outgoing,
    resolve::addresses,
};
use crate::{Budget, Grant, Purpose, clock::Deadline};

const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Maximum number of addresses that the client keeps.
const ADDRESSES_MAX: usize = 16;
const USER_AGENT: &str = concat!("weirgate/", env!("CARGO_PKG_VERSION"));

/// The HTTP client settings, shared by all calls of a host.
pub(crate) struct Network {
    options: OutboundOptions,
    /// The budget of the answers.
    budget: Budget,
    /// Kept because creating it reads all root certificates.
    tls: Arc<RustlsConnector>,
    /// Number of exchanges in progress that can be cut off.
    cuttable: Arc<AtomicUsize>,
}

impl Network {
    pub(crate) fn new(options: OutboundOptions, budget: Budget) -> Self {
        Self { options, budget, tls: Arc::default(), cuttable: Arc::default() }
    }

    pub(super) fn cuttable(&self) -> &Arc<AtomicUsize> {
        &self.cuttable
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes the bytes for reading an answer, before the request is sent. Waits for them within the deadline.
    pub(super) fn room_for(&self, body_bytes_max: u64, deadline: &Deadline) -> Result<Grant, FetchError> {
        let body = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
        // While a body is read, its buffer may be twice as large as its contents.
        let bytes = body.saturating_mul(2).saturating_add(HEADER_BYTES_MAX);
        let bytes = bytes.min(self.budget.share(Purpose::Outbound));
        let left = deadline.left().ok_or(FetchError::TimedOut)?;
        self.budget.take_within(Purpose::Outbound, bytes, left).ok_or(FetchError::TimedOut)
    }

    /// Sends the request to its host, if the host's addresses may be called.
    pub(super) fn exchange(
        &self,
        request: &Outgoing,
        deadline: &Deadline,
        body_bytes_max: u64,
    ) -> Result<StepAnswer, FetchError> {
        self.exchange_unless(Arc::default(), request, deadline, body_bytes_max)
    }

    /// The same, but for a request that is not sent if `cut` is true by then.
    pub(super) fn exchange_unless(
        &self,
        cut: Arc<AtomicBool>,
        request: &Outgoing,
        deadline: &Deadline,
        body_bytes_max: u64,
    ) -> Result<StepAnswer, FetchError> {
        let judged = addresses(&request.target, &self.options, deadline.left().ok_or(FetchError::TimedOut)?)?;
        let left = deadline.left().ok_or(FetchError::TimedOut)?;
        let outgoing = to_http(request)?;
        let told = |error| told(&error, &request.target.host_and_port());
        let agent = self.agent(judged, cut, left);
        let answer = match &request.body {
            Some(body) => agent.run(outgoing.map(|()| body.as_slice())),
            // Requests of these methods declare an empty body; others declare nothing.
            None if [Method::POST, Method::PUT, Method::PATCH].contains(&request.method) => {
                agent.run(outgoing.map(|()| [].as_slice()))
            }
            None => agent.run(outgoing),
        };
        let answer = answer.map_err(told)?;
        let (parts, body) = answer.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let body = body.into_with_config().limit(body_bytes_max).read_to_vec().map_err(told)?;
        Ok(StepAnswer { status: parts.status.as_u16(), headers, body })
    }

    /// A client for one exchange, which knows only these addresses.
    fn agent(&self, addresses: Vec<SocketAddr>, cut: Arc<AtomicBool>, timeout: Duration) -> Agent {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .max_response_header_size(HEADER_BYTES_MAX)
            .user_agent(USER_AGENT)
            .timeout_global(Some(timeout))
            .build();
        let connector = TcpConnector::default().chain(Unless(cut)).chain(Tls(Arc::clone(&self.tls)));
        Agent::with_parts(config, connector, Judged(addresses))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("options", &self.options).finish_non_exhaustive()
    }
}

fn to_http(request: &Outgoing) -> Result<http::Request<()>, FetchError> {
    let mut outgoing = http::Request::builder()
        .method(request.method.clone())
        .uri(request.target.as_str())
        .body(())
        .map_err(|error| denied(format!("the URL cannot be sent: {error}")))?;
    outgoing.headers_mut().clone_from(&request.headers);
    Ok(outgoing)
}

/// The guest's error for a client error.
fn told(error: &Error, host: &str) -> FetchError {
    match error {
        Error::Timeout(_) => FetchError::TimedOut,
        Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => FetchError::TooLarge,
        Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(inner) => told(inner, host),
            None if io.kind() == std::io::ErrorKind::TimedOut => FetchError::TimedOut,
            None => FetchError::Unreachable(format!("{host}: {io}")),
        },
        other => FetchError::Unreachable(format!("{host}: {other}")),
    }
}

/// A resolver without look-ups.
#[derive(Debug)]
struct Judged(Vec<SocketAddr>);

impl Resolver for Judged {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        for address in self.0.iter().take(ADDRESSES_MAX) {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

/// No connection is used if the exchange was cut off meanwhile.
#[derive(Debug)]
struct Unless(Arc<AtomicBool>);

impl<In: Transport> Connector<In> for Unless {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, Error> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::Io(io::Error::from(io::ErrorKind::Interrupted))),
            false => Ok(chained),
        }
    }
}

/// TLS with a configuration that all clients share.
#[derive(Debug)]
struct Tls(Arc<RustlsConnector>);

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained)
    }
}
