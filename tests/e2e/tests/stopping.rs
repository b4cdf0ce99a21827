//! Stopping: SIGTERM ends the server in time, whatever is in flight, with log and views closed.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]
// The tests await the tasks that they start.
#![allow(clippy::disallowed_methods)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout},
};
use weirgate_tests::{Client, Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
/// The server's guarantee.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A server whose handler `hostile` may call the gateway.
async fn beside(gateway: &Gateway) -> Server {
    let dir = tempfile::tempdir().expect("a directory").keep();
    let file = dir.join("weirgate.toml");
    let text = format!("[outbound]\nallow_private = [\"{}\"]\n", gateway.host());
    std::fs::write(&file, text).expect("a configuration");
    let server = Setup::new().arg("--config").arg(file.to_string_lossy()).start().await;
    let mut hostile = manifest("hostile", &["hostile.*"]);
    hostile["capabilities"] = json!({ "hosts": [gateway.url()] });
    hostile["concurrency"] = json!(16);
    hostile["limits"] = json!({ "wall_ms": 30_000, "cpu_ms": 5_000 });
    server.client.deploy(&hostile, weirgate_guests::build("hostile")).await;
    server
}

/// Stops it, in time, and checks that the next start has nothing to bring forward.
async fn stops(server: &mut Server) {
    let asked = Instant::now();
    let status = server.terminate().await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < STOP_MAX, "it took {took:?}");
    let state = std::fs::read_to_string(server.dir.join("views/state")).expect("the views' state");
    assert_eq!(state, "closed\n");
    let from = server.lines_count();
    server.start().await;
    let recovered = server.line("recovered", from).await;
    let number = |name: &str| {
        let (_, rest) = recovered.split_once(&format!("{name}=")).expect("a number");
        rest.chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    assert_eq!(number("from"), number("through"), "{recovered}");
}

fn fetch(gateway: &Gateway, n: u64) -> Value {
    let fetches = json!({ "fetches": [{ "step": "charge", "url": format!("{}/slow/{n}", gateway.url()), "timeout_ms": 20_000 }] });
    event("hostile.fetches", &format!("order/{n}"), &n.to_string(), &fetches)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_time_while_outbound_calls_hang() {
    let gateway = Gateway::start().await;
    let mut server = beside(&gateway).await;
    gateway.hold(Some("/slow"));
    for n in 0..4 {
        server.client.accept(fetch(&gateway, n)).await;
    }
    eventually("the calls to be under way", PATIENCE, async || {
        let calls = gateway.requests("/slow").len();
        if calls == 4 { Ok(()) } else { Err(calls) }
    })
    .await;
    stops(&mut server).await;
    // Interrupted attempts are tried again.
    gateway.hold(None);
    server.client.drained(PATIENCE).await;
    assert_eq!(gateway.keys("/slow"), 4, "the same calls, each with its key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_time_with_half_requests_and_readers_that_do_not_read() {
    let gateway = Gateway::start().await;
    let mut server = beside(&gateway).await;
    let address = server.url("").trim_start_matches("http://").to_owned();
    let mut halves = Vec::new();
    for half in [
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: 100\r\n\r\n{",
        "PUT /v1/modules HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/wasm\r\ncontent-length: 100000\r\n\r\n\0asm",
        "GET /v1/status/order/1?after=0&wait=30s HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /v1/sta",
    ] {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(half.as_bytes()).await.expect("written");
        halves.push(stream);
    }
    let live = format!("ws://{address}/v1/live");
    let request = tokio_tungstenite::tungstenite::client::ClientRequestBuilder::new(live.parse().expect("a URL"))
        .with_sub_protocol("weirgate.v1");
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a socket");
    server.client.accept(event("hostile.loops_forever", "order/9", "9", &json!({}))).await;
    stops(&mut server).await;
    drop(halves);
    // It gets a close code, or finds the connection closed.
    timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} }).await.expect("the socket ends");
}

/// Publish batches until the server stops taking them, or has stopped between two of them and is there again, and answer the ids of the
/// events that it has acknowledged.
async fn publish_until_it_stops(client: Client, publisher: usize, has_stopped: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for batch in 0.. {
        if has_stopped.load(Ordering::Relaxed) {
            break;
        }
        let ids: Vec<_> = (0..200).map(|n| format!("{publisher}-{batch}-{n}")).collect();
        let events: Vec<_> = ids.iter().map(|id| event("load.event", id, id, &json!({}))).collect();
        match client.try_publish(&events).await {
            Some(answer) if answer.status < 300 => acknowledged.extend(ids),
            Some(answer) if answer.status == 503 && answer.code() != "stopping" => {}
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_time_under_load_and_keeps_all_that_it_acknowledged() {
    let mut server = Setup::new().start().await;
    let has_stopped = Arc::<AtomicBool>::default();
    let publish = |n| publish_until_it_stops(server.client.clone(), n, Arc::clone(&has_stopped));
    let publishers = (0..64).map(|n| tokio::spawn(publish(n)));
    let publishers: Vec<_> = publishers.collect();
    eventually("much to be acknowledged", PATIENCE, async || {
        let head = server.client.get("/v1/events?limit=1").await.ok()["head"].as_u64().expect("the head");
        if head > 10_000 { Ok(()) } else { Err(head) }
    })
    .await;
    stops(&mut server).await;
    has_stopped.store(true, Ordering::Relaxed);
    let acknowledged = timeout(PATIENCE, futures_util::future::join_all(publishers)).await.expect("publishers end");
    let acknowledged: Vec<_> = acknowledged.into_iter().flat_map(|ids| ids.expect("no panic")).collect();
    assert!(acknowledged.len() > 5_000, "{}", acknowledged.len());
    let stored = server.client.events_of("load.event").await;
    let stored: BTreeSet<_> = stored.iter().filter_map(|event| event["id"].as_str()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "{} are lost, among them {:?}", lost.len(), lost.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_time_during_a_bulk_job() {
    let mut server = Setup::new().start().await;
    let mut mender = manifest("mender", &["mend.work"]);
    mender["retry"] = json!([]);
    server.client.deploy(&mender, weirgate_guests::build("mender")).await;
    let count = 3_000;
    let fails =
        |n: usize| event("mend.work", &format!("order/{n}"), &n.to_string(), &json!({ "n": n, "fail": "permanent" }));
    for part in (0..count).map(fails).collect::<Vec<_>>().chunks(1_000) {
        server.client.publish(part).await.ok();
    }
    server.client.drained(PATIENCE).await;
    let correct = json!({ "filter": {}, "command": "correct", "patch": { "fail": null }, "per_second": 300 });
    let job = server.client.ask("/v1/dead-letters/bulk-jobs", &correct).await.ok();
    let path = format!("/v1/bulk-jobs/{}", job["id"]);
    eventually("the job to be under way", PATIENCE, async || {
        let job = server.client.get(&path).await.ok();
        if job["done"].as_u64() > Some(0) { Ok(()) } else { Err(job) }
    })
    .await;
    assert_eq!(server.client.get(&path).await.ok()["state"], "running");
    stops(&mut server).await;
    server.client.drained(PATIENCE).await;
    // Each event is done or a dead letter still.
    let done = server.client.events_of("mend.done").await.len();
    let left = dead_letters(&server.client).await;
    assert!(done > 0 && left > 0, "{done} done, {left} left");
    assert_eq!(done + left, count);
}

async fn dead_letters(client: &Client) -> usize {
    let (mut count, mut after) = (0, String::new());
    loop {
        let page = client.get(&format!("/v1/dead-letters?limit=200{after}")).await.ok();
        count += page["dead_letters"].as_array().expect("dead letters").len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return count,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_time_while_a_module_is_compiled() {
    let mut server = Setup::new().start().await;
    let (manifest, client) = (manifest("heavy", &["heavy.*"]), server.client.clone());
    let position = client.accept(event("load.event", "k", "1", &json!({}))).await;
    let upload = tokio::spawn({
        let client = client.clone();
        let upload = client.request(reqwest::Method::PUT, "/v1/modules").body(weirgate_guests::heavy(60));
        async move { client.attempt(upload).await }
    });
    eventually("the compiler to run", PATIENCE, async || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the process runs");
        let mut children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        if children.any(|children| !children.trim().is_empty()) { Ok(()) } else { Err("no child") }
    })
    .await;
    assert!(!upload.is_finished(), "it compiles");
    stops(&mut server).await;
    timeout(PATIENCE, upload).await.expect("the upload ends").expect("no panic");
    let stored = client.get(&format!("/v1/events/{position}")).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
    // Nothing of what was cut off is in the way of the next module.
    client.deploy(&manifest, weirgate_guests::build("greedy")).await;
}
