//! Accepting connections: a limited number, each with timeouts. One more is answered 503 and closed.
//!
//! Knows no route: what answers a request is passed in.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::sleep,
};
use weirgate_engine::Handle;

use crate::{Problem, access::Peer, slot::ConnectionSlot, stall::Socket, unread::discard};

/// Maximum number of connections beyond the limit that are answered 503 at once. Further ones wait in the listener's queue.
const REFUSALS_MAX: usize = 16;
/// How long a connection beyond the limit may take to send its request's head, and then its body.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that accepts no bytes for this long is disconnected.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Maximum size of a request's head, in bytes; also the read-ahead of a body.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// TCP keepalive detects peers that vanished: after 60 s of silence, four probes 15 s apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// A peer that acknowledges no byte for this long is disconnected. Probes do not run while a byte is unacknowledged, and a
/// stream of heartbeats always has one.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// Maximum number of bytes that the kernel takes for a peer beyond what it can send, so that a peer which reads nothing is
/// noticed soon, holds little memory, and gets the latest status when it reads again.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// Delay before the next accept, after one that failed for lack of a resource.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Answers a request of a peer. Boxed, so that an idle connection holds none of it.
pub type Answering = Arc<dyn Fn(Request, Peer) -> BoxFuture<'static, Response> + Send + Sync>;

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    pub connections_max: usize,
    /// How long a request's head may take to arrive, and how long a connection may be idle before it.
    pub header_timeout: Duration,
}

/// An accepted connection, and whether it is within the limit.
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    permit: OwnedSemaphorePermit,
    is_within: bool,
}

struct Acceptor {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

/// Serves requests until `stopping` turns true; then accepts no more connections, and answers the requests in progress.
pub async fn serve(
    listener: TcpListener,
    answering: Answering,
    engine: Handle,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let acceptor = Acceptor {
        listener,
        slots: Arc::new(Semaphore::new(limits.connections_max)),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(ended) = connections.join_next() => {
                tell(ended);
                continue;
            }
            () = stopped(&mut stopping) => break,
        };
        let Accepted { stream, peer, permit, is_within } = accepted;
        let slot = ConnectionSlot::new(&engine.metrics().connections, permit);
        let (answering, stopping) = (Arc::clone(&answering), stopping.clone());
        if is_within {
            connections.spawn(run((stream, peer), slot, answering, limits, stopping));
        } else {
            engine.metrics().connections_refused.inc();
            connections.spawn(refuse(stream, slot));
        }
    }
    drop(acceptor);
    while let Some(ended) = connections.join_next().await {
        tell(ended);
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which also means stopping.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn tell(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

impl Acceptor {
    /// The next connection. While there is no slot for it, nor for a refusal, none is accepted.
    async fn accept(&self) -> Accepted {
        let (permit, is_within) = self.permit().await;
        let (stream, peer) = self.stream().await;
        if is_within {
            return Accepted { stream, peer, permit, is_within };
        }
        // A slot may have become free while waiting for the connection.
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => Accepted { stream, peer, permit, is_within: true },
            Err(_) => Accepted { stream, peer, permit, is_within },
        }
    }

    async fn permit(&self) -> (OwnedSemaphorePermit, bool) {
        let (slots, refusals) = (Arc::clone(&self.slots), Arc::clone(&self.refusals));
        let acquired = tokio::select! {
            biased;
            slot = slots.acquire_owned() => (slot, true),
            refusal = refusals.acquire_owned() => (refusal, false),
        };
        match acquired {
            (Ok(permit), is_within) => (permit, is_within),
            // The semaphores are never closed.
            (Err(_), _) => std::future::pending().await,
        }
    }

    /// Without a descriptor, a buffer or memory for a connection the next accept waits, instead of retrying at once.
    async fn stream(&self) -> (TcpStream, Peer) {
        let mut backoff = BACKOFF;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    set_up(&stream, peer);
                    return (stream, Peer(peer.ip()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if backoff == BACKOFF {
                        tracing::warn!(%error, "no connection can be accepted at the moment");
                    }
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }
}

/// Whether the error concerns one connection that is gone already, and does not affect the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Sends small writes at once, and detects peers that are gone.
fn set_up(stream: &TcpStream, peer: SocketAddr) {
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(stream);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX));
    if let Err(error) = set {
        tracing::debug!(%peer, %error, "a connection's options cannot be set");
    }
}

async fn run(
    (stream, peer): (TcpStream, Peer),
    slot: ConnectionSlot,
    answering: Answering,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let io = TokioIo::new(Socket::new(stream, STALL_MAX, slot));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, of_peer(answering, peer))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers requests with the peer's address, which is no extension: the first one of a request costs it a map.
fn of_peer(
    answering: Answering,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| answering(request.map(Body::new), peer).map(Ok::<_, Infallible>))
}

/// Answers one request with 503, and closes the connection.
async fn refuse(stream: TcpStream, slot: ConnectionSlot) {
    let io = TokioIo::new(Socket::new(stream, REFUSAL_TIMEOUT, slot));
    let answer = service_fn(async |request: Request<Incoming>| {
        discard(request, REFUSAL_TIMEOUT).await;
        Ok::<_, Infallible>(too_many())
    });
    let refused = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REFUSAL_TIMEOUT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(io, answer);
    if let Err(error) = refused.await {
        tracing::debug!(%error, "a connection beyond the limit ended early");
    }
}

fn too_many() -> Response {
    let detail = "too many connections; try again later";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", detail).retry_after(1);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
