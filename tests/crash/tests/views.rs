//! Views that are rebuilt from a long log, which another thread reads ahead, are those that were built while it was written.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{fs, ops::RangeInclusive, time::Duration};

use serde_json::{Value, json};
use weirgate_crash::{deploy_ledger, entry};
use weirgate_tests::{Client, Setup, eventually};

const ACCOUNTS: u64 = 40;
/// Numbers that are handled before the handler is paused, and those that wait then.
const HANDLED: RangeInclusive<u64> = 1..=280;
const OPEN: RangeInclusive<u64> = 281..=290;
/// A shorter log is not read ahead.
const POSITIONS_MIN: u64 = 55_000;
const PATIENCE: Duration = Duration::from_mins(2);

fn account(of: u64) -> String {
    format!("account/{of}")
}

/// A few of the entries fail at first, so that deliveries are retried, and others wait behind them.
async fn publish(client: &Client, numbers: RangeInclusive<u64>) {
    for n in numbers {
        let failures = |account: u64| u32::from((n + account).is_multiple_of(97));
        let entries: Vec<_> = (1..=ACCOUNTS).map(|of| entry(&account(of), n, failures(of))).collect();
        client.publish(&entries).await.ok();
    }
}

/// What the views hold, as clients see it.
async fn seen(client: &Client) -> Value {
    let handlers = eventually("the modules", PATIENCE, async || {
        let handlers = client.get("/v1/handlers").await.ok()["handlers"].take();
        let all = handlers.as_array().expect("handlers");
        if all.iter().any(|handler| handler["state"] == "waiting-for-module") {
            Err("not loaded")
        } else {
            Ok(handlers)
        }
    });
    let counts =
        ["name", "state", "version", "checkpoint", "lag", "open", "running", "retrying", "spilled", "deployed_at"];
    let handlers = handlers.await;
    let handlers =
        handlers.as_array().expect("handlers").iter().map(|handler| counts.map(|name| handler[name].clone()));
    let mut statuses = Vec::new();
    for of in 1..=ACCOUNTS {
        statuses.push(client.status(&account(of)).await);
    }
    for subject in ["weirgate/handlers/ledger", "weirgate/handlers/audit"] {
        statuses.push(client.status(subject).await);
    }
    let versions = client.get("/v1/handlers/ledger/versions").await.ok();
    let deliveries = client.get("/v1/deliveries?limit=1000").await.ok();
    json!({ "handlers": handlers.collect::<Vec<_>>(), "versions": versions, "deliveries": deliveries, "statuses": statuses })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuilt_from_a_long_log_they_are_the_same() {
    let mut server = Setup::new().start().await;
    deploy_ledger(&server.client).await;
    publish(&server.client, HANDLED).await;
    server.client.drained(PATIENCE).await;
    server.client.post("/v1/handlers/ledger/pause").await.ok();
    publish(&server.client, OPEN).await;
    let head = server.client.get("/v1/events").await.ok()["head"].as_u64().expect("a position");
    assert!(head > POSITIONS_MIN, "the log ends at {head}");
    let live = seen(&server.client).await;
    let open = live["deliveries"]["deliveries"].as_array().expect("deliveries").len() as u64;
    assert_eq!(open, ACCOUNTS * OPEN.count() as u64, "{}", live["deliveries"]);
    for removed in [&["views"][..], &["views", "identities", "history"]] {
        server.kill9();
        for folder in removed {
            fs::remove_dir_all(server.dir.join(folder)).expect("removed");
        }
        server.start().await;
        let rebuilt = seen(&server.client).await;
        for part in ["handlers", "versions", "deliveries", "statuses"] {
            assert_eq!(rebuilt[part], live[part], "without {removed:?}: {part}");
        }
    }
    // The state is the same too: each number follows the one before it.
    server.client.post("/v1/handlers/ledger/resume").await.ok();
    server.client.drained(PATIENCE).await;
    for of in 1..=ACCOUNTS {
        let data = server.client.status(&account(of)).await["parts"]["ledger"]["data"].take();
        assert_eq!((&data["count"], &data["breaks"]), (&json!(OPEN.last()), &json!(0)), "{}: {data}", account(of));
    }
}
