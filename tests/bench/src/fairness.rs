//! How long a lightly loaded handler waits: alone, and beside a handler that uses all its limits.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::{
    events, figures,
    ledger::Ledger,
    load::{Driver, Load},
    orders::Run,
    report::Latency,
    server::{Place, Server},
    watch::Watchers,
};

/// Light load: the events' calls together take a few percent of a processor.
const LIGHT: Load = Load::Open { per_s: 100 };
const WARM_UP: Load = Load::Closed { in_flight: 16 };
const KEYS: usize = 100;
/// More calls than end during a measurement.
const HOG_EVENTS: usize = 1_024;
/// A handler that computes without end: the maximum number of calls and the maximum time of a manifest.
const HOG: &str = r#"
name = "hog"
module = "MODULE"
concurrency = 1024
subscriptions = [{ types = ["never.published"] }]
limits = { cpu_ms = 5000, wall_ms = 30000 }
retry = [{ attempts = 10000, first_delay_ms = 1, factor = 1.0, delay_ms_max = 1 }]
"#;

/// Measures the light handler alone, then beside the hog.
///
/// # Errors
/// The server does not run, or an event was lost.
pub async fn measure(place: &Place, count: usize) -> Result<()> {
    let server = Server::start(place).await?;
    let ledger = Arc::new(Ledger::new(KEYS));
    let mut watchers = Run::new(LIGHT, 0, 0).watch(&server, &ledger).await?;
    drive(&server, &ledger, &mut watchers, WARM_UP, KEYS).await?;
    light("alone", &server, &ledger, &mut watchers, count).await?;
    deploy_hog(place, &server)?;
    let hogs: Vec<_> = (0..HOG_EVENTS).map(|id| events::stuck("hog", id, id)).collect();
    for batch in hogs.chunks(256) {
        let body = Bytes::from(events::batch(batch));
        server.http.post("/v1/handlers/hog/events", events::BATCH, body).await?;
    }
    light("beside one that computes", &server, &ledger, &mut watchers, count).await?;
    ledger.check()
}

async fn light(what: &str, server: &Server, ledger: &Arc<Ledger>, watchers: &mut Watchers, count: usize) -> Result<()> {
    let first = ledger.next();
    drive(server, ledger, watchers, LIGHT, count).await?;
    let latency = Latency::of(&ledger.latencies(first..ledger.next()));
    let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(figures::ms);
    println!("{what:<28} {count} events at {LIGHT}: p50 {p50} ms, p99 {p99} ms, max {max} ms");
    Ok(())
}

async fn drive(server: &Server, ledger: &Arc<Ledger>, watchers: &mut Watchers, load: Load, count: usize) -> Result<()> {
    Driver { http: &server.http, ledger, watchers }.drive(load, count).await
}

/// The component is the light handler's: an event's status makes it compute.
fn deploy_hog(place: &Place, server: &Server) -> Result<()> {
    let text = std::fs::read_to_string(&place.manifest).context("no manifest")?;
    let module = text.lines().find_map(|line| line.strip_prefix("module = \"")?.strip_suffix('"'));
    let dir = place.manifest.parent().context("the manifest is in no directory")?;
    let module = dir.join(module.context("the manifest has no module")?).canonicalize().context("no module")?;
    let manifest = place.work_dir.join("hog.toml");
    std::fs::write(&manifest, HOG.replace("MODULE", &module.to_string_lossy()))?;
    server.deploy(place, &manifest)
}
