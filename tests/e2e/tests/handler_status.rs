//! The status of a handler, `weirgate/handlers/<name>`: its deployments and modes are pushed, and survive a crash.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use serde_json::json;
use weirgate_tests::{Document, Live, Setup, manifest};

const SUBJECT: &str = "weirgate/handlers/ledger";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_and_modes_are_pushed() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("ledger", &["ledger.add"]);
    let digest = server.client.deploy(&manifest, weirgate_guests::build("ledger")).await["digest"].clone();
    let mut live = Live::connect(&server.url("")).await;
    live.subscribe(&[SUBJECT]).await;
    let mut document = Document::default();
    document.take(&live.receive().await);
    let first = document.parts["weirgate-deployment"].clone();
    assert_eq!((&first["state"], &first["text"]), (&json!("deployed"), &digest));
    assert_eq!(first["data"], json!({ "digest": digest }), "settings are for operators, not for watchers");
    manifest["config"] = json!({ "token": "not-for-watchers" });
    server.client.redeploy(&manifest, &digest).await.ok();
    document.take(&live.receive().await);
    let second = document.parts["weirgate-deployment"].clone();
    assert!(second["version"].as_u64() > first["version"].as_u64(), "the same module again: {first} {second}");
    assert_eq!(second["data"], first["data"]);
    for (command, state) in [("pause", "paused"), ("resume", "running")] {
        server.client.post(&format!("/v1/handlers/ledger/{command}")).await.ok();
        document.take(&live.receive().await);
        assert_eq!(document.parts["weirgate-handler"]["state"], state);
        assert_eq!(document.parts["weirgate-deployment"], second);
    }
    document.is(&server.client.status(SUBJECT).await);
    server.kill9();
    server.start().await;
    document.is(&server.client.status(SUBJECT).await);
}
