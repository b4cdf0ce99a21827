//! The state shared by all routes: the engine, the options, and the limits of requests.

use std::{ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};
use weirgate_engine::{Clock, Handle};
use weirgate_types::EventLimits;

use crate::{access::Access, admission::Admission, parsing::Parsers, tasks::Tasks};

/// The settings of the endpoints.
#[derive(Debug, Clone)]
pub struct Options {
    pub event_limits: EventLimits,
    /// Maximum size of a body of `POST /v1/events`, in bytes.
    pub request_bytes_max: usize,
    /// Maximum size of a body of `PUT /v1/modules`, in bytes.
    pub module_bytes_max: usize,
    /// Maximum number of connections of all kinds; beyond it: 503.
    pub connections_max: usize,
    /// Maximum number of live connections; at most three quarters of all.
    pub live_connections_max: usize,
    /// How long a request's head may take to arrive, and how long a connection may be idle before it.
    pub header_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a body's bytes may pause.
    pub body_idle_timeout: Duration,
    /// How long an uploaded module may take to arrive.
    pub upload_timeout: Duration,
    /// Interval between searches for modules that no handler was deployed with.
    pub collect_interval: Duration,
    /// The longest time without a message on a live connection.
    pub heartbeat: Duration,
    /// From the answer to a ping of a WebSocket to the next ping.
    pub ping_interval: Duration,
    /// How long a WebSocket's peer may take to answer a ping.
    pub pong_timeout: Duration,
    /// For which hosts, and to the pages of which origins, the endpoints answer.
    pub access: Access,
    /// The directory of the built demo shop, served under `/shop/`.
    pub shop: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            event_limits: EventLimits::default(),
            request_bytes_max: 4 << 20,
            module_bytes_max: 32 << 20,
            connections_max: 12_000,
            live_connections_max: 10_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(10),
            upload_timeout: Duration::from_secs(120),
            collect_interval: Duration::from_secs(600),
            heartbeat: Duration::from_secs(25),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(20),
            access: Access::default(),
            shop: None,
        }
    }
}

/// The state shared by all routes. One reference: the layers around a route clone it for each request.
#[derive(Clone)]
pub struct App(Arc<Shared>);

pub struct Shared {
    pub engine: Handle,
    pub options: Arc<Options>,
    pub clock: Arc<dyn Clock>,
    pub admission: Arc<Admission>,
    pub tasks: Arc<Tasks>,
    /// The WebSockets' sessions.
    pub sessions: Arc<Tasks>,
    pub parsers: Parsers,
    /// Maximum number of refused bodies that are read to their end at once.
    pub discards: Arc<Semaphore>,
    /// Maximum number of lists answered at once.
    pub lists: Arc<Semaphore>,
    /// Maximum number of answers with metrics at once.
    pub scrapes: Arc<Semaphore>,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Resolves when the server stops.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which also means stopping.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
