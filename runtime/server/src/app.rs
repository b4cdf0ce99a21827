//! What every route can reach: the engine, the options, and what limits the requests.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};
use weirgate_engine::{Clock, Handle};
use weirgate_types::EventLimits;

use crate::{live::Admission, parsing::Parsers, tasks::Tasks};

/// The settings of the endpoints.
#[derive(Debug, Clone)]
pub struct Options {
    pub event_limits: EventLimits,
    /// The largest body of `POST /v1/events`.
    pub request_bytes_max: usize,
    /// The largest body of `PUT /v1/modules`.
    pub module_bytes_max: usize,
    /// Connections of all kinds at once; beyond it: 503.
    pub connections_max: usize,
    /// Live connections at once; at most three quarters of all.
    pub live_connections_max: usize,
    /// How long a request's head may take to come, and how long a connection may be idle before it.
    pub header_timeout: Duration,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// How long nothing of a body may come.
    pub body_idle_timeout: Duration,
    /// How long an uploaded module may take to come.
    pub upload_timeout: Duration,
    /// How often modules that no handler was deployed with are looked for.
    pub collect_interval: Duration,
    pub heartbeat: Duration,
    /// Origins whose pages may use the live endpoint, besides the server's own.
    pub origins: Vec<String>,
    /// The built demo shop, served under `/shop/`.
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
            origins: Vec::new(),
            shop: None,
        }
    }
}

/// What every route can reach.
#[derive(Clone)]
pub struct App {
    pub engine: Handle,
    pub options: Arc<Options>,
    pub clock: Arc<dyn Clock>,
    pub admission: Arc<Admission>,
    pub tasks: Arc<Tasks>,
    pub parsers: Parsers,
    /// How many bodies that were refused are read to their end at once.
    pub discards: Arc<Semaphore>,
    /// How many lists of events are answered at once.
    pub lists: Arc<Semaphore>,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// Done when the server stops.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error says that the sender is gone, which is the end as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
