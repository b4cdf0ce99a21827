//! Status push: the cost of a message to a browser when all watch one subject, and when each watches its own; and the cost
//! of an idle connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use crate::{
    clock, events, figures,
    load::Load,
    orders::{KEYS, Run, Used},
    process,
    server::{Place, Server},
    watch::{OnStatus, Watchers},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Events sent before the measurement.
const WARM_UP_EVENTS: u64 = 10;

/// The cost of one of the two.
#[derive(Debug, Serialize)]
pub struct PushReport {
    pub case: &'static str,
    pub subscribers: usize,
    pub messages: usize,
    pub messages_per_s: f64,
    /// Everything that the server does from accepting the event on.
    pub server_cpu_us_per_message: f64,
    pub own_cpu_us_per_message: f64,
    pub load_average: f64,
}

/// The cost of idle connections.
#[derive(Debug, Serialize)]
pub struct IdleReport {
    pub sockets: usize,
    pub resident_kib_per_socket: f64,
}

/// `subscribers` connections that all watch one subject, and `rounds` events about it, one after another: the next is sent
/// when all have received the last.
///
/// # Errors
/// A connection ends, or receives nothing in time.
pub async fn to_all(place: &Place, subscribers: usize, rounds: u64) -> Result<PushReport> {
    let server = Server::start(place).await?;
    let arrivals = Arc::new(Arrivals::default());
    let on_status: OnStatus = {
        let arrivals = Arc::clone(&arrivals);
        Arc::new(move |_, _| arrivals.one())
    };
    let mut watchers =
        Watchers::connect(&server.authority, vec![vec![events::subject(0)]; subscribers], &on_status).await?;
    tell(&server, &mut watchers, &arrivals, (0..WARM_UP_EVENTS, subscribers)).await?;
    let load_average = process::load_average()?;
    let (before, begun) = (Used::now(&server).await?, clock::now());
    tell(&server, &mut watchers, &arrivals, (WARM_UP_EVENTS..WARM_UP_EVENTS + rounds, subscribers)).await?;
    let (took, used) = (begun.elapsed(), Used::now(&server).await?.since(&before));
    let messages = subscribers * usize::try_from(rounds)?;
    Ok(PushReport {
        case: "to-all",
        subscribers,
        messages,
        messages_per_s: figures::rate_per_s(messages, took),
        server_cpu_us_per_message: figures::us_each(used.server_cpu, messages),
        own_cpu_us_per_message: figures::us_each(used.own_cpu, messages),
        load_average,
    })
}

/// A connection for each of the 1,000 keys, under a closed-loop load.
///
/// # Errors
/// As for the orders workload.
pub async fn keyed(place: &Place, messages: usize) -> Result<PushReport> {
    let load = Load::Batched { in_flight: 256 };
    let report = Run { subjects_each: 1, ..Run::new(load, messages, 1) }.measure(place).await?;
    Ok(PushReport {
        case: "keyed",
        subscribers: KEYS,
        messages,
        messages_per_s: report.events_per_s,
        server_cpu_us_per_message: report.server_cpu_us_per_event,
        own_cpu_us_per_message: report.own_cpu_us_per_event,
        load_average: report.load_average,
    })
}

/// `sockets` connections, each with its own subject, which does not change.
///
/// # Errors
/// A connection cannot be made.
pub async fn idle(place: &Place, sockets: usize) -> Result<IdleReport> {
    let server = Server::start(place).await?;
    let on_status: OnStatus = Arc::new(|_, _| ());
    // The server's one-time initialisation is not counted.
    let first = Watchers::connect(&server.authority, vec![vec![events::subject(0)]; 100], &on_status).await?;
    let before_kib = process::resident_kib(server.pid())?;
    let subjects = (0..sockets).map(|key| vec![events::subject(key)]).collect();
    let watchers = Watchers::connect(&server.authority, subjects, &on_status).await?;
    let after_kib = process::resident_kib(server.pid())?;
    drop((first, watchers));
    let grown_kib = figures::float(usize::try_from(after_kib.saturating_sub(before_kib))?);
    Ok(IdleReport { sockets, resident_kib_per_socket: figures::rounded(grown_kib / figures::float(sockets.max(1))) })
}

/// Sends the events of `range` about one subject, and waits after each until all subscribers have received it.
async fn tell(
    server: &Server,
    watchers: &mut Watchers,
    arrivals: &Arrivals,
    (range, subscribers): (std::ops::Range<u64>, usize),
) -> Result<()> {
    for seq in range {
        arrivals.expect(subscribers);
        server.http.post("/v1/events", events::ONE, Bytes::from(events::event(seq, 0))).await?;
        tokio::select! {
            all = timeout(PATIENCE, arrivals.all()) => all.context("not every subscriber received it")?,
            reason = watchers.ended() => return Err(reason),
        }
    }
    Ok(())
}

/// Counts down the expected messages.
#[derive(Default)]
struct Arrivals {
    left: AtomicUsize,
    all: Notify,
}

impl Arrivals {
    fn expect(&self, count: usize) {
        self.left.store(count, Ordering::Relaxed);
    }

    fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.notify_one();
        }
    }

    async fn all(&self) {
        self.all.notified().await;
    }
}

impl PushReport {
    pub fn print(&self) {
        println!(
            "weirgate {:7} {} subscribers  {:.0} messages/s  server {:.1} us a message  own {:.1} us  load {}",
            self.case,
            self.subscribers,
            self.messages_per_s,
            self.server_cpu_us_per_message,
            self.own_cpu_us_per_message,
            self.load_average
        );
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}

impl IdleReport {
    pub fn print(&self) {
        println!("weirgate idle    {} sockets  {} KiB resident a socket", self.sockets, self.resident_kib_per_socket);
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}
