//! Stopping: SIGTERM ends the server in time, whatever is under way, with log and views closed.
// JSON that lacks what is looked up answers null, and the test says so.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout},
};
use weirgate_tests::{Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
/// What the server promises.
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

/// Stop it, in time, and see that the next start has nothing to bring forward.
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
    // What was cut off is tried again.
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
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\ncontent-length: 100\r\n\r\n{",
        "PUT /v1/modules HTTP/1.1\r\nhost: x\r\ncontent-type: application/wasm\r\ncontent-length: 100000\r\n\r\n\0asm",
        "GET /v1/status/order/1?after=0&wait=30s HTTP/1.1\r\nhost: x\r\n\r\n",
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
    // It is told, or finds the connection closed.
    timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} }).await.expect("the socket ends");
}
