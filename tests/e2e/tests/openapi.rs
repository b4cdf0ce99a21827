//! The OpenAPI document and the metrics, read by the programs that users read them with.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::json;
use weirgate_tests::{Client, Server, Setup, event, eventually, manifest, python_program};

const PATIENCE: Duration = Duration::from_secs(30);

fn shown(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// A server with an open delivery and a dead letter.
async fn server() -> Server {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["retry"] =
        json!([{ "attempts": 1, "first_delay_ms": 3_600_000, "delay_ms_max": 3_600_000, "jitter": "none" }]);
    client.deploy(&manifest, weirgate_guests::build("mender")).await;
    for (subject, fail) in [("order/1", "permanent"), ("order/2", "transient")] {
        client.accept(event("mend.work", subject, subject, &json!({ "n": 1, "fail": fail }))).await;
    }
    eventually("a dead letter and an open delivery", PATIENCE, async || {
        let found = deliveries(client).await;
        if found.len() == 2 { Ok(()) } else { Err(found) }
    })
    .await;
    server
}

/// The ids of dead letters, and of deliveries that wait for their next attempt.
async fn deliveries(client: &Client) -> Vec<String> {
    let dead_letters = client.get("/v1/dead-letters").await.ok()["dead_letters"].take();
    let retrying = client.get("/v1/deliveries?state=retrying").await.ok()["deliveries"].take();
    let items = [dead_letters, retrying].into_iter().flat_map(|list| list.as_array().cloned().unwrap_or_default());
    items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_the_document_does_not_describe() {
    let server = server().await;
    // It writes a cache beside its configuration.
    let dir = tempfile::tempdir().expect("a folder");
    for file in ["schemathesis.toml", "hooks.py"] {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        std::fs::copy(python.join(file), dir.path().join(file)).expect("a copy");
    }
    let mut command = Command::new(python_program("schemathesis"));
    command.args(["--config-file", "schemathesis.toml", "run", "--no-color"]);
    command.env("KNOWN_HANDLERS", "mender").env("KNOWN_DELIVERIES", deliveries(&server.client).await.join(" "));
    command.arg(server.url("/openapi.json")).current_dir(dir.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("it runs");
    assert!(output.status.success(), "{}", shown(&output));
    assert!(server.client.is_ready().await, "the server is not ready after the requests");
}

/// What a server with a shop answers is in its own document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_shop_describes_it() {
    let shop = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(shop.path().join("assets")).expect("a folder");
    std::fs::write(shop.path().join("index.html"), "<!doctype html>").expect("a page");
    let server = Setup::new().arg("--shop").arg(shop.path().to_str().expect("a path")).start().await;
    let document = server.client.get("/openapi.json").await.ok();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    for (path, described, status, media_type) in [
        ("/", "/", "307", None),
        ("/shop", "/shop", "308", None),
        ("/shop/", "/shop/", "200", Some("*/*")),
        ("/shop/?order=1", "/shop/", "200", Some("*/*")),
        ("/shop/index.html", "/shop/{file}", "200", Some("*/*")),
        ("/shop/none.html", "/shop/{file}", "404", Some("text/html")),
        ("/shop/assets/none.js", "/shop/{file}", "404", Some("application/problem+json")),
        ("/openapi.json", "/openapi.json", "200", Some("application/json")),
        ("/?x=1", "/", "400", Some("application/problem+json")),
    ] {
        let response = http.get(server.url(path)).send().await.expect("an answer");
        assert_eq!(response.status().as_str(), status, "{path}");
        let described = &document["paths"][described]["get"]["responses"][status];
        assert!(described.is_object(), "{path}: {status} is not described");
        if let Some(media_type) = media_type {
            assert!(described["content"][media_type].is_object(), "{path}: {described}");
            let sent = response.headers()["content-type"].to_str().expect("text");
            assert!(media_type == "*/*" || sent.starts_with(media_type), "{path}: {sent}");
        } else {
            assert_eq!(response.headers()["location"], "/shop/", "{path}");
            assert!(described["headers"]["location"].is_object(), "{path}: {described}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_has_no_objection_to_the_metrics() {
    let server = server().await;
    let metrics = server.client.get("/metrics").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: `make test` unpacks it");
    promtool.stdin.take().expect("its input").write_all(metrics.text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", shown(&output));
}
