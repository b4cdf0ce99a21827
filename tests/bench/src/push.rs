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
use clap::Args;
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use crate::{
    clock, events, figures,
    floor::Floor,
    load::Load,
    orders::{KEYS, Run},
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
    pub system: &'static str,
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
    pub system: &'static str,
    pub sockets: usize,
    pub resident_kib_per_socket: f64,
}

#[derive(Debug, Args)]
pub struct Pushes {
    /// Number of watchers of one subject
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Number of events pushed to them
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Number of messages to connections with a subject each
    #[arg(long, default_value_t = 20_000)]
    keyed: usize,
    /// Number of idle connections
    #[arg(long, default_value_t = 5_000)]
    idle: usize,
    /// How often each is measured, the server and the floor in turn
    #[arg(long, default_value_t = 3)]
    repeats: usize,
}

impl Pushes {
    /// Measures and prints everything.
    ///
    /// # Errors
    /// A connection cannot be made, ends, or receives nothing in time.
    pub async fn run(self, place: &Place) -> Result<()> {
        let (mut ratios, mut resident) = (Vec::new(), Vec::new());
        for _ in 0..self.repeats {
            let own = to_all(Pusher::weirgate(place).await?, self.subscribers, self.rounds).await?;
            own.print();
            let floor = to_all(Pusher::floor(place).await?, self.subscribers, self.rounds).await?;
            floor.print();
            ratios.push(own.server_cpu_us_per_message / floor.server_cpu_us_per_message);
            keyed(place, self.keyed).await?.print();
            let (own, floor) = (
                idle(Pusher::weirgate(place).await?, self.idle).await?,
                idle(Pusher::floor(place).await?, self.idle).await?,
            );
            own.print();
            floor.print();
            resident.push(own.resident_kib_per_socket / floor.resident_kib_per_socket);
        }
        let [ratio, resident] = [ratios, resident].map(|ratios| figures::rounded(figures::median(ratios)));
        println!(
            "weirgate / floor, medians: server CPU a message {ratio}, resident memory of an idle connection {resident}"
        );
        Ok(())
    }
}

/// What pushes.
pub enum Pusher {
    Weirgate(Server),
    Floor(Floor),
}

impl Pusher {
    /// # Errors
    /// It does not start.
    pub async fn weirgate(place: &Place) -> Result<Self> {
        Ok(Self::Weirgate(Server::start(place).await?))
    }

    /// # Errors
    /// It does not start.
    pub async fn floor(place: &Place) -> Result<Self> {
        Ok(Self::Floor(Floor::start(place).await?))
    }

    fn system(&self) -> &'static str {
        match self {
            Self::Weirgate(_) => "weirgate",
            Self::Floor(_) => "floor",
        }
    }

    fn authority(&self) -> &str {
        match self {
            Self::Weirgate(server) => &server.authority,
            Self::Floor(floor) => &floor.authority,
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Weirgate(server) => server.pid(),
            Self::Floor(floor) => floor.pid(),
        }
    }

    /// An event about the subject that all watch.
    async fn publish(&mut self, seq: u64) -> Result<()> {
        match self {
            Self::Weirgate(server) => {
                server.http.post("/v1/events", events::ONE, Bytes::from(events::event(seq, 0))).await?;
                Ok(())
            }
            Self::Floor(floor) => floor.publish(),
        }
    }
}

/// `subscribers` connections that all watch one subject, and `rounds` events about it, one after another: the next is sent
/// when all have received the last.
///
/// # Errors
/// A connection ends, or receives nothing in time.
pub async fn to_all(mut pusher: Pusher, subscribers: usize, rounds: u64) -> Result<PushReport> {
    let arrivals = Arc::new(Arrivals::default());
    let on_status: OnStatus = {
        let arrivals = Arc::clone(&arrivals);
        Arc::new(move |_, _| arrivals.one())
    };
    let mut watchers =
        Watchers::connect(pusher.authority(), vec![vec![events::subject(0)]; subscribers], &on_status).await?;
    tell(&mut pusher, &mut watchers, &arrivals, (0..WARM_UP_EVENTS, subscribers)).await?;
    let load_average = process::load_average()?;
    let (server_before, own_before) = (process::cpu(pusher.pid())?, process::cpu(std::process::id())?);
    let begun = clock::now();
    tell(&mut pusher, &mut watchers, &arrivals, (WARM_UP_EVENTS..WARM_UP_EVENTS + rounds, subscribers)).await?;
    let took = begun.elapsed();
    let (server_cpu, own_cpu) = (process::cpu(pusher.pid())?, process::cpu(std::process::id())?);
    let messages = subscribers * usize::try_from(rounds)?;
    Ok(PushReport {
        system: pusher.system(),
        case: "to-all",
        subscribers,
        messages,
        messages_per_s: figures::rate_per_s(messages, took),
        server_cpu_us_per_message: figures::us_each(server_cpu.saturating_sub(server_before), messages),
        own_cpu_us_per_message: figures::us_each(own_cpu.saturating_sub(own_before), messages),
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
        system: "weirgate",
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
pub async fn idle(pusher: Pusher, sockets: usize) -> Result<IdleReport> {
    let on_status: OnStatus = Arc::new(|_, _| ());
    // The server's one-time initialisation is not counted.
    let first = Watchers::connect(pusher.authority(), vec![vec![events::subject(0)]; 100], &on_status).await?;
    let before_kib = process::resident_kib(pusher.pid())?;
    let subjects = (0..sockets).map(|key| vec![events::subject(key)]).collect();
    let watchers = Watchers::connect(pusher.authority(), subjects, &on_status).await?;
    let after_kib = process::resident_kib(pusher.pid())?;
    drop((first, watchers));
    let grown_kib = figures::float(usize::try_from(after_kib.saturating_sub(before_kib))?);
    let system = pusher.system();
    Ok(IdleReport {
        system,
        sockets,
        resident_kib_per_socket: figures::rounded(grown_kib / figures::float(sockets.max(1))),
    })
}

/// Sends the events of `range` about one subject, and waits after each until all subscribers have received it.
async fn tell(
    pusher: &mut Pusher,
    watchers: &mut Watchers,
    arrivals: &Arrivals,
    (range, subscribers): (std::ops::Range<u64>, usize),
) -> Result<()> {
    for seq in range {
        arrivals.expect(subscribers);
        pusher.publish(seq).await?;
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
            "{:8} {:7} {} subscribers  {:.0} messages/s  server {:.1} us a message  own {:.1} us  load {}",
            self.system,
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
        println!(
            "{:8} idle    {} sockets  {} KiB resident a socket",
            self.system, self.sockets, self.resident_kib_per_socket
        );
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}
