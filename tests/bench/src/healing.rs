//! Whether failing deliveries slow down healthy ones: the same healthy load in one run without and with waiting deliveries,
//! or keys that fail repeatedly.

use std::{ops::Range, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::sleep;

use crate::{
    clock, events, figures,
    ledger::Ledger,
    load::{Driver, Load},
    orders::{Run, Used},
    process,
    report::Latency,
    server::{Place, Server},
    watch::Watchers,
};

/// Fixed, so that latencies are comparable: about a third of what one processor handles.
const LOAD: Load = Load::Open { per_s: 2_000 };
const WARM_UP: Load = Load::Closed { in_flight: 64 };
/// Number of failing events per request.
const AT_ONCE: usize = 256;
const PATIENCE: Duration = Duration::from_mins(10);
/// A load has a time limit, so a long one is split.
const PART: usize = 50_000;
/// Maximum CPU time per second of an idle server.
const CALM: Duration = Duration::from_millis(100);
/// Interval of memory measurements while deliveries begin to wait.
const STEPS: usize = 5;
/// Events of each poisoned key.
const POISON_EACH: usize = 5;

/// A server, and the healthy load beside its other work.
struct Healthy {
    server: Server,
    ledger: Arc<Ledger>,
    watchers: Watchers,
}

impl Healthy {
    async fn start(place: &Place, keys: usize) -> Result<Self> {
        let server = Server::start(place).await?;
        let ledger = Arc::new(Ledger::new(keys));
        let watchers = Run::new(LOAD, 0, 0).watch(&server, &ledger).await?;
        let mut healthy = Self { server, ledger, watchers };
        // Then each key has been seen, as in a shop that has been open for a while.
        healthy.drive(WARM_UP, keys).await?;
        healthy.calm().await?;
        Ok(healthy)
    }

    async fn drive(&mut self, load: Load, count: usize) -> Result<()> {
        let Self { server, ledger, watchers } = self;
        Driver { http: &server.http, ledger, watchers }.drive(load, count).await
    }

    /// Drives the healthy load and returns its figures.
    async fn measure(&mut self, what: &str, count: usize) -> Result<Latency> {
        let first = self.ledger.next();
        let before = Used::now(&self.server).await?;
        // Split, because a load has a time limit.
        for _ in 0..count.div_ceil(PART) {
            self.drive(LOAD, count.min(PART)).await?;
        }
        let used = Used::now(&self.server).await?.since(&before);
        let sent = self.ledger.next() - first;
        let latency = Latency::of(&self.ledger.latencies(first..first + sent));
        let (p50, p99) = (figures::ms(latency.p50), figures::ms(latency.p99));
        let cpu = figures::us_each(used.server_cpu, sent);
        let rss = figures::mib(process::resident_kib(self.server.pid())?);
        println!(
            "{what:<28} {sent} events at {LOAD}: p50 {p50} ms, p99 {p99} ms, {cpu} us of CPU each, {rss} MiB resident, {} open, {} of them on disk only",
            used.scrape.open, used.scrape.spilled
        );
        Ok(latency)
    }

    /// Sends failing events.
    async fn send_stuck(&self, kind: &str, ids: Range<usize>, keys: usize) -> Result<()> {
        let ids: Vec<usize> = ids.collect();
        for ids in ids.chunks(AT_ONCE) {
            let batch: Vec<_> = ids.iter().map(|id| events::stuck(kind, *id, id % keys)).collect();
            self.server.http.post("/v1/events", events::BATCH, Bytes::from(events::batch(&batch))).await?;
        }
        Ok(())
    }

    /// Waits until the server is idle: background writes of earlier work are not part of the measurement.
    async fn calm(&self) -> Result<()> {
        let begun = clock::now();
        loop {
            let before = process::cpu(self.server.pid())?;
            sleep(Duration::from_secs(1)).await;
            if process::cpu(self.server.pid())?.saturating_sub(before) < CALM {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the server is still busy after {PATIENCE:?}");
        }
    }

    async fn open(&self, is: impl Fn(f64) -> bool) -> Result<()> {
        let begun = clock::now();
        loop {
            let scrape = self.server.scrape().await?;
            if is(scrape.open) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{} deliveries are open after {PATIENCE:?}", scrape.open);
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Healthy events beside many deliveries that wait for an hour; and, for comparison, beside as many completed ones.
///
/// # Errors
/// The server does not run, or an event was lost.
pub async fn beside_waiting(place: &Place, keys: usize, waiting: usize, count: usize) -> Result<()> {
    for kind in [Kind::Done, Kind::Late] {
        let mut healthy = Healthy::start(place, keys).await?;
        let alone = healthy.measure("alone", count).await?;
        let begun = clock::now();
        for step in 1..=STEPS {
            let (from, until) = (waiting * (step - 1) / STEPS, waiting * step / STEPS);
            healthy.send_stuck(kind.status(), from..until, usize::MAX).await?;
            healthy.open(|open| kind.is_reached(open, until)).await.context("not all are where they should be")?;
            let rss = figures::mib(process::resident_kib(healthy.server.pid())?);
            println!("{until} {} after {:.1} s, {rss} MiB resident", kind.what(), begun.elapsed().as_secs_f64());
        }
        healthy.calm().await?;
        let beside = healthy.measure(&format!("beside those that {}", kind.what()), count).await?;
        healthy.ledger.check()?;
        println!("p99 beside those that {} / alone: {:.2}", kind.what(), ratio(&beside, &alone));
    }
    Ok(())
}

/// What happens to the other events beside the healthy ones.
#[derive(Clone, Copy)]
enum Kind {
    Done,
    Late,
}

impl Kind {
    /// Their handler's state.
    fn status(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Late => "late",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Done => "went through",
            Self::Late => "wait",
        }
    }

    /// Whether all of `sent` are in the expected phase, with this many open.
    fn is_reached(self, open: f64, sent: usize) -> bool {
        match self {
            Self::Done => open == 0.0,
            Self::Late => open >= figures::float(sent),
        }
    }
}

/// Healthy events beside keys that fail repeatedly; then the cause is removed, and all are completed.
///
/// # Errors
/// The server does not run, or an event was lost.
pub async fn beside_poison(place: &Place, keys: usize, poisoned: usize, count: usize) -> Result<()> {
    let mut healthy = Healthy::start(place, keys).await?;
    let alone = healthy.measure("alone", count).await?;
    healthy.send_stuck("poison", 0..poisoned * POISON_EACH, poisoned).await?;
    let beside = healthy.measure("beside poisoned keys", count).await?;
    println!("p99 beside poisoned keys / alone: {:.2}", ratio(&beside, &alone));
    heal(&healthy, place)?;
    let begun = clock::now();
    healthy.open(|open| open == 0.0).await.context("not all were released")?;
    println!(
        "{} events of {poisoned} keys were released in {:.1} s",
        poisoned * POISON_EACH,
        begun.elapsed().as_secs_f64()
    );
    released_in_order(&healthy, poisoned).await?;
    healthy.calm().await?;
    let again = healthy.measure("alone again", count).await?;
    println!("p99 beside poisoned keys / alone again: {:.2}", ratio(&beside, &again));
    healthy.ledger.check()
}

/// Every poisoned key has had all its events, in order.
async fn released_in_order(healthy: &Healthy, poisoned: usize) -> Result<()> {
    for key in 0..poisoned {
        let status = healthy.server.http.get(&format!("/v1/status/poison/{key}")).await?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let last = key + poisoned * (POISON_EACH - 1);
        let seen = status.pointer("/parts/bench/data").context("no status")?;
        let is_right = seen.get("seq") == Some(&last.into()) && seen.get("count") == Some(&POISON_EACH.into());
        ensure!(is_right, "poison/{key} was not released in order: {seen}");
    }
    println!("all {poisoned} keys were released in order");
    Ok(())
}

/// Deploys the handler again, with the configuration that heals.
fn heal(healthy: &Healthy, place: &Place) -> Result<()> {
    let manifest = std::fs::read_to_string(&place.manifest)?;
    let folder = place.manifest.parent().context("a manifest is in a folder")?;
    let healed = folder.join("healed.toml");
    std::fs::write(&healed, format!("{manifest}\n[config]\nheals = \"yes\"\n"))?;
    let deployed = healthy.server.deploy(place, &healed);
    std::fs::remove_file(&healed)?;
    deployed
}

fn ratio(this: &Latency, that: &Latency) -> f64 {
    this.p99.as_secs_f64() / that.p99.as_secs_f64()
}
