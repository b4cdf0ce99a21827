//! A handler that fails until an event of the same key arrives waits for itself: the lists and the server's log say so.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Cli, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

/// The hint on a delivery, once there is one.
async fn hint(server: &weirgate_tests::Server, id: &str) -> String {
    eventually("a hint", PATIENCE, async || {
        let shown = server.client.get(&format!("/v1/deliveries/{id}")).await;
        shown.json["hint"].as_str().map(str::to_owned).ok_or(shown.text)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_may_wait_for_itself_is_named() {
    let server = Setup::new().start().await;
    let manifest = manifest("ledger", &["ledger.add", "ledger.close"]);
    server.client.deploy(&manifest, weirgate_guests::build("ledger")).await;
    let failing = json!({ "n": 1, "failures": 999 });
    let alone = server.client.accept(event("ledger.add", "account/2", "a", &failing)).await;
    let first = server.client.accept(event("ledger.add", "account/1", "b", &failing)).await;
    server.client.accept(event("ledger.close", "account/1", "c", &json!({ "n": 2 }))).await;

    let hint = hint(&server, &format!("ledger@{first}")).await;
    assert!(
        hint.contains("a later event waits behind it (ledger.close)") && hint.contains("waits for itself"),
        "{hint}"
    );
    let wanted = [json!(format!("ledger@{first}")), json!(hint)];
    eventually("a delivery that blocks others", PATIENCE, async || {
        let blocked = server.client.get("/v1/blocked").await.ok();
        let found = [&blocked["blocked"][0]["id"], &blocked["blocked"][0]["hint"]];
        if found == wanted.each_ref() { Ok(()) } else { Err(blocked.to_string()) }
    })
    .await;
    // While an attempt runs, nothing is suspected.
    let named = format!("hint: ledger@{first}: {hint}");
    eventually("a list with the hint", PATIENCE, async || {
        let listed = Cli::of(&server).run(&["deliveries", "blocked"]);
        if String::from_utf8_lossy(&listed.stderr).contains(&named) { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
    let line = server.line("it waits for itself", 0).await;
    assert!(line.contains(" WARN ") && line.contains(&format!("ledger@{first}")), "{line}");
    // One that blocks no other is never named, however often it fails.
    let shown = server.client.get(&format!("/v1/deliveries/ledger@{alone}")).await.ok();
    assert!(shown["attempt"].as_u64() >= Some(4) && shown["hint"] == Value::Null, "{shown}");
}
