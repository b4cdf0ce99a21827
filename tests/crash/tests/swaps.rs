//! Many deployments under load: nothing is lost or doubled, memory and descriptors stay flat, and keys hardly pause. And
//! `kill -9` during deployments, rollbacks and removals: each is done or absent. `WEIRGATE_SWAPS` sets the number of
//! deployments, `WEIRGATE_CRASH_ROUNDS` that of the rounds, `WEIRGATE_CRASH_SEED` repeats a run.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use weirgate_crash::{Book, Chance, Load, deploy_ledger, entry, verify};
use weirgate_tests::{Client, Server, Setup, manifest};

const SWAPS: u64 = 200;
const ROUNDS: u64 = 20;
/// The key whose pauses are measured.
const PROBE: &str = "probe/pause";
/// A generous bound of the pause on a machine that is busy with other tests; the aim is 20 ms.
const PAUSE_P99_MAX: Duration = Duration::from_millis(250);
/// How much memory the process may gain over all deployments, beside what views and caches hold anyway.
const MEMORY_GAIN_MAX: u64 = 96 << 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().expect("a number"))
}

/// The ledger with a setting that makes it another version.
fn version(number: u64) -> Value {
    let mut manifest = manifest("ledger", &["ledger.add"]);
    manifest["config"] = json!({ "version": number.to_string() });
    manifest
}

async fn digest(client: &Client) -> Value {
    client.handler("ledger").await["digest"].clone()
}

/// Sends the next event of the probe, and waits for its status.
async fn probe(client: &Client, n: u64) -> Duration {
    let begun = Instant::now();
    client.accept(entry(PROBE, n, 0)).await;
    let mut after = 0;
    loop {
        let answer = client.get(&format!("/v1/status/{PROBE}?after={after}&wait=10s")).await;
        if answer.status != 200 {
            // It has no status yet, or none newer.
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        if answer.json["parts"]["ledger"]["data"]["count"] == n {
            return begun.elapsed();
        }
        after = answer.json["version"].as_u64().expect("a version");
    }
}

fn memory_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("its memory") << 10
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its descriptors").count()
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_by_deployments_under_load() {
    let swaps = number("WEIRGATE_SWAPS", SWAPS);
    let (_, seed) = Chance::announced("swaps");
    let server = Setup::new().start().await;
    let client = server.client.clone();
    deploy_ledger(&client).await;
    let mut load = Load::start(&client, seed, Book::default());
    let (digest, warm_up) = (digest(&client).await, 20);
    let (mut quiet, mut pauses, mut before) = (Vec::new(), Vec::new(), (0, 0));
    for n in 1..=warm_up {
        quiet.push(probe(&client, n).await);
    }
    for swap in 1..=swaps {
        if swap == swaps.div_ceil(10) {
            before = (memory_bytes(&server), descriptors(&server));
        }
        let manifest = version(swap);
        let (deployed, pause) = tokio::join!(client.redeploy(&manifest, &digest), probe(&client, warm_up + swap));
        assert_eq!(deployed.ok()["version"], swap + 1);
        pauses.push(pause);
    }
    let after = (memory_bytes(&server), descriptors(&server));
    {
        let _quiet = load.pause().await;
        verify(&client, &load.book()).await;
        let probed = client.status(PROBE).await["parts"]["ledger"]["data"].clone();
        assert_eq!((&probed["count"], &probed["breaks"]), (&json!(warm_up + swaps), &json!(0)), "{probed}");
        check_counts(&client, swaps).await;
    }
    quiet.sort();
    pauses.sort();
    eprintln!(
        "swaps: {swaps} deployments under load; an event's time to its status p50 {:?} p99 {:?} at a deployment, p50 {:?} without; \
         memory {} to {} MiB, descriptors {} to {}",
        at(&pauses, 50),
        at(&pauses, 99),
        at(&quiet, 50),
        before.0 >> 20,
        after.0 >> 20,
        before.1,
        after.1
    );
    assert!(at(&pauses, 99) < PAUSE_P99_MAX, "{:?}", at(&pauses, 99));
    assert!(after.0 < before.0 + MEMORY_GAIN_MAX, "{before:?} {after:?}");
    assert!(after.1 <= before.1 + 16, "{before:?} {after:?}");
}

/// Every event is completed by exactly one version.
async fn check_counts(client: &Client, swaps: u64) {
    let (mut completed, mut versions, mut after) = (0, 0, String::new());
    loop {
        let page = client.get(&format!("/v1/handlers/ledger/versions?limit=1000{after}")).await.ok();
        let list = page["versions"].as_array().expect("versions");
        versions += list.len() as u64;
        completed += list.iter().map(|one| one["completed"].as_u64().expect("a count")).sum::<u64>();
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let events = client.events_of("ledger.add").await.len() as u64;
    assert_eq!((versions, completed), (swaps + 1, events));
}

/// What a round sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Deploy,
    RollBack,
    Remove,
}

/// What the handler was before, and what it may be after.
#[derive(Debug, Clone, Default)]
struct Known {
    version: u64,
    config: Value,
    /// The account of its state, and how many entries that has.
    account: String,
    count: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_kill_9_interrupts_is_done_or_absent() {
    let rounds = number("WEIRGATE_CRASH_ROUNDS", ROUNDS);
    let (mut chance, _) = Chance::announced("changes");
    let mut server = Setup::new().start().await;
    let digest = server.client.upload(weirgate_guests::build("ledger")).await.ok()["digest"].clone();
    let (mut known, mut done) = (Known::default(), [0, 0]);
    for round in 1..=rounds {
        if known.version == 0 {
            server.client.redeploy(&version(round * 1_000), &digest).await.ok();
            let (config, account) = (json!((round * 1_000).to_string()), format!("account/{round}"));
            known = Known { version: 1, config, account, count: 0 };
        }
        known.count += 1;
        server.client.accept(entry(&known.account, known.count, 0)).await;
        server.client.drained(Duration::from_secs(20)).await;
        let wanted = match chance.between(0, 2) {
            0 => Change::Remove,
            1 if known.version > 1 => Change::RollBack,
            _ => Change::Deploy,
        };
        let client = server.client.clone();
        let manifest = version(round * 1_000 + 1);
        let body = json!({ "digest": digest, "manifest": manifest }).to_string();
        let request = |method: &str, path: &str| {
            client.request(method.parse().expect("a method"), &format!("/v1/handlers/ledger{path}"))
        };
        let request = match wanted {
            Change::Deploy => request("PUT", "").header("content-type", "application/json").body(body),
            Change::RollBack => request("POST", "/rollback"),
            Change::Remove => request("DELETE", ""),
        };
        let (sender, mut sent) = (client.clone(), JoinSet::new());
        sent.spawn(async move { sender.attempt(request).await.is_some_and(|answer| answer.status == 200) });
        sleep(chance.millis(0, 12)).await;
        server.kill9();
        let is_acknowledged = sent.join_next().await.expect("a request").expect("no panic");
        server.start().await;
        let is_done = check_round(&server.client, wanted, &mut known, &manifest).await;
        assert!(is_done || !is_acknowledged, "round {round}: {wanted:?} was acknowledged and is absent");
        done[usize::from(is_done)] += 1;
    }
    eprintln!("changes: {rounds} interrupted by kill -9, {} done, {} absent", done[1], done[0]);
}

/// The change is there as a whole, or nothing of it. Returns whether it is there.
async fn check_round(client: &Client, change: Change, known: &mut Known, manifest: &Value) -> bool {
    let answer = client.get("/v1/handlers/ledger").await;
    if answer.status == 404 {
        assert_eq!(change, Change::Remove);
        assert_eq!(client.get("/v1/handlers/ledger/versions").await.status, 404);
        *known = Known::default();
        return true;
    }
    let handler = answer.ok();
    let version = handler["version"].as_u64().expect("a version");
    let is_done = version == known.version + 1;
    assert!(is_done || version == known.version, "{handler}");
    let config = handler["manifest"]["config"]["version"].clone();
    match (is_done, change) {
        (false, _) => assert_eq!(config, known.config, "{handler}"),
        (true, Change::Deploy) => assert_eq!(config, manifest["config"]["version"], "{handler}"),
        (true, Change::RollBack) => assert_ne!(config, known.config, "{handler}"),
        (true, Change::Remove) => panic!("it was removed, not deployed: {handler}"),
    }
    let part = client.status(&known.account).await["parts"]["ledger"]["data"].clone();
    assert_eq!(part["count"], known.count, "its state is there: {part}");
    (known.version, known.config) = (version, config);
    is_done
}
