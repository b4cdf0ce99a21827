//! What a what-if costs: alone, against what the events cost live, and what it does to live traffic beside it. Fails if it makes a call, or
//! comes to another state the next time or from a snapshot.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    clock, figures,
    http::Http,
    ledger::Ledger,
    listener::Listener,
    load::{Driver, Load},
    orders::{KEYS, Run},
    process,
    report::Latency,
    server::{Place, Server},
    watch::Watchers,
};

/// How the events come, and in which portions.
const LOAD: Load = Load::Batched { in_flight: 256 };
const PORTION: usize = 50_000;
/// The live traffic beside a what-if.
const LIVE: Load = Load::Open { per_s: 200 };
const ASK_EVERY: Duration = Duration::from_millis(100);
/// A server that uses less than this in `SETTLE` is idle: what follows a load, such as the index of the history, is done.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLED_CPU_MAX: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// Number of events that are handled, and then handled again
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Number of live events, without and with a what-if beside them; 0 skips this part
    #[arg(long, default_value_t = 4_000)]
    live: usize,
}

/// What a pass through the events cost.
struct Cost {
    events: usize,
    cpu: Duration,
    took: Duration,
}

/// A what-if that has ended.
struct Examined {
    cost: Cost,
    found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Found {
    executed: usize,
    planned_keys: usize,
    values: usize,
    /// The digest of the plan: of all state that the candidate leaves.
    plan: String,
    keys_failing: usize,
    not_examined: Option<Value>,
}

/// What everything here uses.
struct Bench {
    server: Server,
    ledger: Arc<Ledger>,
    watchers: Watchers,
    listener: Listener,
}

impl Replay {
    /// # Errors
    /// The server does not run, an event was lost, or a what-if is not what it has to be.
    pub async fn run(&self, place: &Place) -> Result<()> {
        let mut bench = Bench::start(place).await?;
        let (live, middle) = bench.load(self.events).await?;
        println!("live, {LOAD}:                {live}");
        let called = bench.listener.calls();
        ensure!(called == self.events.div_ceil(CALLED_EACH), "{called} calls were made");

        let same = bench.ask(&json!({ "handler": "bench" })).await?;
        let faster = live.cpu_us_each() / same.cost.cpu_us_each();
        println!(
            "what-if, alone:               {}, {} times live's events per CPU second",
            same.cost,
            figures::rounded(faster)
        );
        ensure!(same.found.planned_keys == 0, "the version in force comes to something else: {:?}", same.found);

        let changed = bench.changed().await?;
        let first = bench.ask(&changed).await?;
        println!("what-if, another state:       {}", first.cost);
        let again = bench.ask(&changed).await?;
        let mut half = changed.clone();
        insert(&mut half, "selection", json!({ "after": middle }));
        let later = bench.ask(&half).await?;
        println!("the same, of the second half: {}", later.cost);
        ensure!(first.found.values == KEYS.min(self.events), "not every key has another state: {:?}", first.found);
        ensure!(first.found == again.found, "twice the same what-if: {:?} and {:?}", first.found, again.found);
        let (plan, from_snapshot) = (&first.found.plan, &later.found.plan);
        ensure!(plan == from_snapshot, "from the beginning {plan} and from a snapshot {from_snapshot}");
        println!("state of all keys:            {plan} in both runs, and from a snapshot");

        if self.live > 0 {
            bench.beside(self.live, &changed).await?;
        }
        // Each event of the load and of the live traffic has called once, and no what-if has.
        let (calls, expected) = (bench.listener.calls(), bench.ledger.next().div_ceil(CALLED_EACH));
        ensure!(calls == expected, "{calls} calls were made, {expected} by live events");
        println!("calls by the what-ifs:        {} (by live events {expected})", calls - expected);
        bench.ledger.check()
    }
}

/// An event whose number is a multiple of it makes a call.
const CALLED_EACH: usize = 1_000;

impl Bench {
    /// A server with the benchmark's handler, which calls a listener now and then.
    async fn start(place: &Place) -> Result<Self> {
        let listener = Listener::start().await?;
        let mut command = std::process::Command::new(&place.weirgate);
        command.env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", listener.host());
        let server = Server::start_bare(place, command).await?;
        let text = std::fs::read_to_string(&place.manifest).context("no manifest")?;
        let module = text.lines().find_map(|line| line.strip_prefix("module = \"")?.strip_suffix('"'));
        let dir = place.manifest.parent().context("the manifest is in no directory")?;
        let module = dir.join(module.context("the manifest has no module")?).canonicalize().context("no module")?;
        let manifest = place.work_dir.join("replayed.toml");
        let host = listener.url();
        let text = format!(
            "name = \"bench\"\nmodule = {:?}\nsubscriptions = [{{ types = [\"order.moved\"] }}]\n\
             config = {{ calls = \"{host}\" }}\ncapabilities = {{ hosts = [\"{host}\"] }}\n",
            module.display().to_string()
        );
        std::fs::write(&manifest, text)?;
        server.deploy(place, &manifest)?;
        let ledger = Arc::new(Ledger::new(KEYS));
        let watchers = Run::new(LIVE, 0, 0).watch(&server, &ledger).await?;
        Ok(Self { server, ledger, watchers, listener })
    }

    async fn drive(&mut self, load: Load, count: usize) -> Result<()> {
        let Self { server, ledger, watchers, .. } = self;
        Driver { http: &server.http, ledger, watchers }.drive(load, count).await
    }

    /// Has the events handled. Returns what that cost, and the position at half of them.
    async fn load(&mut self, events: usize) -> Result<(Cost, u64)> {
        let (before, begun, mut middle) = (process::cpu(self.server.pid())?, clock::now(), 0);
        let mut left = events;
        while left > 0 {
            let portion = PORTION.min(left).min(events.div_ceil(2));
            self.drive(LOAD, portion).await?;
            self.ledger.forget();
            left -= portion;
            if middle == 0 && left <= events / 2 {
                middle = self.head().await?;
            }
        }
        let took = begun.elapsed();
        self.settle().await?;
        Ok((Cost { events, cpu: process::cpu(self.server.pid())?.saturating_sub(before), took }, middle))
    }

    async fn head(&self) -> Result<u64> {
        let page: Value = serde_json::from_str(&self.server.http.get("/v1/events?limit=1").await?)?;
        page.get("head").and_then(Value::as_u64).context("no head")
    }

    /// Waits until the server is idle.
    async fn settle(&self) -> Result<()> {
        loop {
            let before = process::cpu(self.server.pid())?;
            sleep(SETTLE).await;
            if process::cpu(self.server.pid())?.saturating_sub(before) <= SETTLED_CPU_MAX {
                return Ok(());
            }
        }
    }

    /// A what-if that leaves another state for every key.
    async fn changed(&self) -> Result<Value> {
        let handler: Value = serde_json::from_str(&self.server.http.get("/v1/handlers/bench").await?)?;
        let mut manifest = handler.get("manifest").cloned().context("no manifest")?;
        insert(manifest.get_mut("config").context("no configuration")?, "note", "changed".into());
        let candidate = json!({ "digest": text(&handler, "digest")?, "manifest": manifest });
        Ok(json!({ "handler": "bench", "candidate": candidate }))
    }

    /// Asks for a what-if, and waits for its end. Nothing else goes on, so what the server uses is what it costs.
    async fn ask(&self, request: &Value) -> Result<Examined> {
        let (before, begun) = (process::cpu(self.server.pid())?, clock::now());
        let found = examine(&self.server.http, request).await?;
        let (cpu, took) = (process::cpu(self.server.pid())?.saturating_sub(before), begun.elapsed());
        Ok(Examined { cost: Cost { events: found.executed, cpu, took }, found })
    }

    /// Live traffic alone, and beside one what-if after the other.
    async fn beside(&mut self, count: usize, request: &Value) -> Result<()> {
        let alone = self.live(count).await?;
        let http = self.server.http.clone();
        let asking = async {
            loop {
                if let Err(error) = examine(&http, request).await {
                    return error;
                }
            }
        };
        let beside = tokio::select! {
            latency = self.live(count) => latency?,
            error = asking => return Err(error),
        };
        let figures = |latency: &Latency| [latency.p50, latency.p99, latency.max].map(figures::ms);
        let [[p50, p99, max], [p50_beside, p99_beside, max_beside]] = [&alone, &beside].map(figures);
        println!("{LIVE}, {count} events, alone:    p50 {p50} ms, p99 {p99} ms, max {max} ms");
        println!("{LIVE}, beside what-ifs:        p50 {p50_beside} ms, p99 {p99_beside} ms, max {max_beside} ms");
        println!("p99 beside / alone:           {}", figures::rounded(p99_beside / p99));
        Ok(())
    }

    async fn live(&mut self, count: usize) -> Result<Latency> {
        let first = self.ledger.next();
        self.drive(LIVE, count).await?;
        Ok(Latency::of(&self.ledger.latencies(first..self.ledger.next())))
    }
}

/// Asks for a what-if, and waits for its end.
async fn examine(http: &Http, request: &Value) -> Result<Found> {
    let answer = http.post("/v1/replays", "application/json", Bytes::from(request.to_string())).await?;
    let asked: Value = serde_json::from_slice(&answer)?;
    let path = format!("/v1/replays/{}", text(&asked, "id")?);
    loop {
        let replay: Value = serde_json::from_str(&http.get(&path).await?)?;
        if let Some(error) = replay.get("error") {
            bail!("the what-if failed: {error}");
        }
        if let Some(found) = replay.get("found") {
            let found: Found = serde_json::from_value(found.clone())?;
            ensure!(found.not_examined.is_none() && found.keys_failing == 0, "it is not whole: {found:?}");
            return Ok(found);
        }
        sleep(ASK_EVERY).await;
    }
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn text<'a>(json: &'a Value, name: &str) -> Result<&'a str> {
    json.get(name).and_then(Value::as_str).with_context(|| format!("no {name} in {json}"))
}

impl Cost {
    fn cpu_us_each(&self) -> f64 {
        figures::us_each(self.cpu, self.events)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, took, .. } = self;
        let rate = figures::rate_per_s(*events, *took);
        write!(
            f,
            "{events} events in {:.1} s, {rate:.0} a second, {} us of CPU each",
            took.as_secs_f64(),
            self.cpu_us_each()
        )
    }
}
