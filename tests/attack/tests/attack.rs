//! All attacks at once on one server, beside a load whose every acknowledgement is checked. `WEIRGATE_ATTACKS` selects some
//! of them (comma-separated), `WEIRGATE_ATTACK_SECONDS` sets the duration.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};
use weirgate_attack::{ATTACKS, Attack, Field, Probe, memory, raise_descriptor_limit};
use weirgate_crash::{Book, Load, accounts, deploy_ledger};
use weirgate_tests::{Server, Setup, eventually, within};

/// Each second of all attacks writes up to 100 MiB.
const SECONDS: u64 = 10;
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Interval of memory measurements.
const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_mins(3);

fn chosen() -> Vec<&'static Attack> {
    let names = std::env::var("WEIRGATE_ATTACKS").unwrap_or_default();
    let wanted: Vec<_> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let chosen: Vec<_> = ATTACKS.iter().filter(|attack| wanted.is_empty() || wanted.contains(&attack.name)).collect();
    let names: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
    assert!(chosen.len() >= wanted.len(), "no such attack; there are {names:?}");
    chosen
}

fn seconds() -> Duration {
    let given = std::env::var("WEIRGATE_ATTACK_SECONDS").ok();
    Duration::from_secs(given.map_or(SECONDS, |seconds| seconds.parse().expect("a number of seconds")))
}

/// Every acknowledged event is at its position.
async fn check_book(server: &Server, book: &Book) {
    for (account, entries) in &book.accounts {
        for entry in entries {
            let stored = server.client.get(&format!("/v1/events/{}", entry.position)).await.ok();
            assert_eq!(stored["event"]["id"], format!("{account}-{}", entry.n), "at {}", entry.position);
        }
    }
}

/// The attackers' handlers are paused, so that their remaining deliveries do not run.
async fn pause_attackers(server: &Server) {
    let handlers = server.client.get("/v1/handlers").await.ok();
    for handler in handlers["handlers"].as_array().expect("handlers") {
        let name = handler["name"].as_str().expect("a name");
        if name.starts_with("attack-") {
            let body = json!({ "actor": "test", "reason": "the attack is over" });
            server.client.ask(&format!("/v1/handlers/{name}/pause"), &body).await.ok();
        }
    }
}

/// The load's own handlers have closed all their deliveries.
async fn ledger_is_done(server: &Server, book: &Book) {
    eventually("the ledger to be done", PATIENCE, async || {
        let handler = server.client.handler("ledger").await;
        if handler["open"] == 0 && handler["lag"] == 0 { Ok(()) } else { Err(handler) }
    })
    .await;
    for (account, entries) in &book.accounts {
        let status = server.client.status(account).await;
        let data = &status["parts"]["ledger"]["data"];
        assert!(data["count"].as_u64() >= Some(entries.len() as u64) && data["breaks"] == 0, "{account}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_working_under_attack() {
    raise_descriptor_limit();
    let mut server = Setup::new().expect_line("").start().await;
    let pid = server.pid();
    deploy_ledger(&server.client).await;
    let mut load = Load::start(&server.client, 1, Book::default());
    let probe = Probe::start(&server.client, accounts());
    let chosen = chosen();
    let field = Field::new(server.client.clone(), chosen.len(), seconds());
    let attacks: Vec<_> = chosen.into_iter().map(|attack| (attack.name, attack.start(field.clone()))).collect();
    let until = within("the attacks to be prepared", PATIENCE, field.begin()).await;
    while Instant::now() < until {
        let (most, _) = memory(pid);
        assert!(most < MEMORY_BYTES_MAX, "the server has taken {} MiB", most >> 20);
        sleep_until(Instant::now() + LOOK).await;
    }
    for (name, attack) in attacks {
        let ended = tokio::time::timeout(PATIENCE, attack).await;
        ended.unwrap_or_else(|_| panic!("{name} does not end")).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let latencies = probe.latencies();
    pause_attackers(&server).await;
    let quiet = load.pause().await;
    let book = load.book();
    ledger_is_done(&server, &book).await;
    check_book(&server, &book).await;
    let (most, now) = memory(pid);
    eprintln!(
        "attack: {} acknowledged; status p50 {} ms, p99 {} ms, {} answers, {} without; {} MiB at most, {} MiB now",
        book.len(),
        latencies.percentile(50),
        latencies.percentile(99),
        latencies.count(),
        latencies.failed,
        most >> 20,
        now >> 20
    );
    assert!(most < MEMORY_BYTES_MAX, "the server has taken {} MiB", most >> 20);
    assert!(latencies.count() > 0 && !book.is_empty(), "neither the probe nor the load got an answer");
    server.restart().await;
    check_book(&server, &book).await;
    ledger_is_done(&server, &book).await;
    drop(quiet);
    assert!(server.terminate().await.success(), "it stops when asked to");
}
