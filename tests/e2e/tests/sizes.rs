//! Large but allowed data is accepted, stored, and there after a restart with the views and without them.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use serde_json::json;
use weirgate_tests::{Setup, event, manifest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_manifest_is_kept() {
    let mut server = Setup::new().start().await;
    let types: Vec<_> = (0..200).map(|number| format!("a.long.event.type.number.{number}")).collect();
    let mut types: Vec<_> = types.iter().map(String::as_str).collect();
    types.push("hostile.*");
    let mut manifest = manifest("hostile", &types);
    manifest["config"] = json!({ "a-long-setting": "x".repeat(20_000) });
    server.client.deploy(&manifest, weirgate_guests::build("hostile")).await;
    for round in 0..2 {
        server.restart().await;
        let handler = server.client.get("/v1/handlers/hostile").await.ok();
        assert_eq!(handler["manifest"]["config"], manifest["config"], "round {round}");
        let key = format!("thing/{round}");
        server.client.accept(event("hostile.plain", &key, &round.to_string(), &json!({ "quantity": 1 }))).await;
        server.client.reaches(&key, "hostile", "counted").await;
    }
}
