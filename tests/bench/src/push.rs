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
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::timeout};

use crate::{
    clock, events, figures,
    floor::{Deltas, Floor},
    load::Load,
    orders::{KEYS, Run},
    process,
    server::{Place, Server},
    watch::{OnStatus, SUBJECTS_MAX, Watchers},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Events sent before the measurement.
const WARM_UP_EVENTS: u64 = 10;
/// As `batch-256` of the orders workload: the number of messages in flight, and of those in a request.
const KEYED_AT_ONCE: usize = 256;
const KEYED_IN_REQUEST: usize = 16;

/// The cost of one of the two.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PushReport {
    pub system: String,
    pub case: String,
    pub subscribers: usize,
    pub messages: usize,
    pub messages_per_s: f64,
    /// Everything that the server does from accepting the event on.
    pub server_cpu_us_per_message: f64,
    pub own_cpu_us_per_message: f64,
    pub load_average: f64,
}

/// The cost of idle connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdleReport {
    pub system: String,
    pub sockets: usize,
    pub resident_kib_per_socket: f64,
}

/// The server, and the floor right after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beside<T> {
    pub own: T,
    pub floor: T,
}

/// A connection for each key: the server, the floor, and the server with all keys on eight connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keyed {
    pub own: PushReport,
    pub floor: PushReport,
    pub on_eight: PushReport,
}

/// Everything, as often as it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pushed {
    pub to_all: Vec<Beside<PushReport>>,
    pub keyed: Vec<Keyed>,
    pub idle: Vec<Beside<IdleReport>>,
}

#[derive(Debug, Clone, Args)]
pub struct Pushes {
    /// Number of watchers of one subject
    #[arg(long, default_value_t = 1_000)]
    pub subscribers: usize,
    /// Number of events pushed to them
    #[arg(long, default_value_t = 100)]
    pub rounds: u64,
    /// Number of messages to connections with a subject each
    #[arg(long, default_value_t = 20_000)]
    pub keyed: usize,
    /// Number of idle connections
    #[arg(long, default_value_t = 5_000)]
    pub idle: usize,
    /// How often each is measured, the server and the floor in turn
    #[arg(long, default_value_t = 3)]
    pub repeats: usize,
}

impl Pushes {
    /// Measures and prints everything.
    ///
    /// # Errors
    /// A connection cannot be made, ends, or receives nothing in time.
    pub async fn run(&self, place: &Place) -> Result<Pushed> {
        let mut pushed = Pushed::default();
        for _ in 0..self.repeats {
            let own = to_all(Pusher::weirgate(place).await?, self.subscribers, self.rounds).await?;
            let floor = to_all(Pusher::floor(place).await?, self.subscribers, self.rounds).await?;
            pushed.to_all.push(Beside { own, floor }.printed(PushReport::print));
            pushed.keyed.push(Keyed::measure(place, self.keyed).await?);
            let own = idle(Pusher::weirgate(place).await?, self.idle).await?;
            let floor = idle(Pusher::floor(place).await?, self.idle).await?;
            pushed.idle.push(Beside { own, floor }.printed(IdleReport::print));
        }
        let cpu = pushed.to_all.iter().map(|both| both.ratio(|report| report.server_cpu_us_per_message));
        let resident = pushed.idle.iter().map(|both| both.ratio(|report| report.resident_kib_per_socket));
        let [cpu, resident] = [figures::median(cpu), figures::median(resident)].map(figures::rounded);
        println!(
            "weirgate / floor, medians: server CPU a message {cpu}, resident memory of an idle connection {resident}"
        );
        Ok(pushed)
    }
}

impl<T> Beside<T> {
    /// The server's figure over the floor's.
    pub fn ratio(&self, figure: impl Fn(&T) -> f64) -> f64 {
        figure(&self.own) / figure(&self.floor)
    }

    fn printed(self, print: fn(&T)) -> Self {
        print(&self.own);
        print(&self.floor);
        self
    }
}

impl Keyed {
    async fn measure(place: &Place, messages: usize) -> Result<Self> {
        let (own, floor) = (keyed(place, messages, 1).await?, keyed_floor(place, messages).await?);
        let on_eight = keyed(place, messages, SUBJECTS_MAX).await?;
        [&own, &floor, &on_eight].into_iter().for_each(PushReport::print);
        Ok(Self { own, floor, on_eight })
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
        Ok(Self::Floor(Floor::start(place, Deltas::Shared).await?))
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
    let (arrivals, on_status) = Arrivals::counted();
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
        system: pusher.system().into(),
        case: "to-all".into(),
        subscribers,
        messages,
        messages_per_s: figures::rate_per_s(messages, took),
        server_cpu_us_per_message: figures::us_each(server_cpu.saturating_sub(server_before), messages),
        own_cpu_us_per_message: figures::us_each(own_cpu.saturating_sub(own_before), messages),
        load_average,
    })
}

/// Connections for the 1,000 keys, each with `subjects_each` of them, under a closed-loop load.
///
/// # Errors
/// As for the orders workload.
pub async fn keyed(place: &Place, messages: usize, subjects_each: usize) -> Result<PushReport> {
    let load = Load::Batched { in_flight: KEYED_AT_ONCE };
    let report = Run { subjects_each, ..Run::new(load, messages, 1) }.measure(place).await?;
    Ok(PushReport {
        system: "weirgate".into(),
        case: "keyed".into(),
        subscribers: KEYS.div_ceil(subjects_each),
        messages,
        messages_per_s: report.events_per_s,
        server_cpu_us_per_message: report.server_cpu_us_per_event,
        own_cpu_us_per_message: report.own_cpu_us_per_event,
        load_average: report.load_average,
    })
}

/// The floor of `keyed`: it sends as many messages, each to one of as many connections, and is asked for as many at once.
///
/// # Errors
/// A connection ends, or receives nothing in time.
pub async fn keyed_floor(place: &Place, messages: usize) -> Result<PushReport> {
    let mut floor = Floor::start(place, Deltas::Own).await?;
    let (arrivals, on_status) = Arrivals::counted();
    let subjects = (0..KEYS).map(|key| vec![events::subject(key)]).collect();
    let mut watchers = Watchers::connect(&floor.authority, subjects, &on_status).await?;
    let load_average = process::load_average()?;
    let (server_before, own_before) = (process::cpu(floor.pid())?, process::cpu(std::process::id())?);
    let begun = clock::now();
    let receivers: Vec<u16> = (0..messages).map(|number| u16::try_from(number % KEYS)).collect::<Result<_, _>>()?;
    for receivers in receivers.chunks(KEYED_AT_ONCE) {
        arrivals.expect(receivers.len());
        for receivers in receivers.chunks(KEYED_IN_REQUEST) {
            floor.publish_to(receivers)?;
            // The driver's one thread reads what has arrived.
            tokio::task::yield_now().await;
        }
        arrivals.wait(&mut watchers).await?;
    }
    let took = begun.elapsed();
    let (server_cpu, own_cpu) = (process::cpu(floor.pid())?, process::cpu(std::process::id())?);
    Ok(PushReport {
        system: "floor".into(),
        case: "keyed".into(),
        subscribers: KEYS,
        messages,
        messages_per_s: figures::rate_per_s(messages, took),
        server_cpu_us_per_message: figures::us_each(server_cpu.saturating_sub(server_before), messages),
        own_cpu_us_per_message: figures::us_each(own_cpu.saturating_sub(own_before), messages),
        load_average,
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
    let system = pusher.system().into();
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
        arrivals.wait(watchers).await?;
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
    /// What counts them down for watchers.
    fn counted() -> (Arc<Self>, OnStatus) {
        let arrivals = Arc::new(Self::default());
        let counted = Arc::clone(&arrivals);
        (arrivals, Arc::new(move |_, _| counted.one()))
    }

    fn expect(&self, count: usize) {
        self.left.store(count, Ordering::Relaxed);
    }

    fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.notify_one();
        }
    }

    async fn wait(&self, watchers: &mut Watchers) -> Result<()> {
        tokio::select! {
            all = timeout(PATIENCE, self.all.notified()) => all.context("not every subscriber received it"),
            reason = watchers.ended() => Err(reason),
        }
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
