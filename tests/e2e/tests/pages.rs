//! Lists and answers whose size clients decide: pages end in bytes as well as in items, and answers that are not read hold a
//! bounded number of bytes.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use weirgate_tests::{Cli, Client, Server, Setup, event, eventually, manifest, within};

const PATIENCE: Duration = Duration::from_mins(1);
const MIB: usize = 1 << 20;

/// All items of a list that has several pages, none of which is much larger than 4 MiB.
async fn all(client: &Client, path: &str, name: &str) -> Vec<Value> {
    let (mut items, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = client.get(&format!("{path}&{after}")).await;
        assert!(page.text.len() < 5 * MIB, "{path} has a page of {} bytes", page.text.len());
        let page = page.ok();
        items.extend(page[name].as_array().expect("a list").iter().cloned());
        pages += 1;
        match &page["next"] {
            Value::Null => break,
            Value::String(next) => after = format!("after={next}"),
            next => after = format!("after={next}"),
        }
    }
    assert!(pages > 1, "{path} has one page");
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_with_large_manifests_are_listed_in_pages() {
    let server = Setup::new().start().await;
    let digest = server.client.upload(weirgate_guests::build("ledger")).await.ok()["digest"].clone();
    for n in 0..20 {
        let mut manifest = manifest(&format!("h{n:02}"), &["ledger.add"]);
        manifest["config"] = json!({ "text": "x".repeat(250_000) });
        server.client.redeploy(&manifest, &digest).await.ok();
    }
    let names = |items: &[Value]| -> Vec<String> {
        items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    };
    let expected: Vec<_> = (0..20).map(|n| format!("h{n:02}")).collect();
    assert_eq!(names(&all(&server.client, "/v1/handlers?limit=1000", "handlers").await), expected);
    assert_eq!(names(&all(&server.client, "/v1/handlers?limit=7", "handlers").await), expected);
    let listed = Cli::of(&server).json(&["handlers", "list"]);
    assert_eq!(names(listed["handlers"].as_array().expect("a list")), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_that_name_many_keys_are_listed_in_pages() {
    let server = Setup::new().start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    let keys: Vec<_> = (0..950).map(|n| format!("{n}/{}", "k".repeat(250))).collect();
    let mut asked = Vec::new();
    for _ in 0..20 {
        let request = json!({ "handler": "ledger", "selection": { "keys": keys } });
        asked.insert(0, server.client.ask("/v1/replays", &request).await.ok()["id"].clone());
    }
    let listed = all(&server.client, "/v1/replays?limit=1000", "replays").await;
    assert_eq!(listed.iter().map(|item| item["id"].clone()).collect::<Vec<_>>(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_open_breakers_of_hosts_are_limited_and_listed_in_pages() {
    let server = Setup::new().start().await;
    let path = |n: usize, command: &str| format!("/v1/breakers/host/h{n:03}.example.com/{command}");
    for n in 0..256 {
        let tripped = server.client.ask(&path(n, "trip"), &json!({ "reason": "r" })).await.ok();
        assert_eq!((&tripped["name"], &tripped["state"]), (&json!(format!("h{n:03}.example.com")), &json!("open")));
    }
    server.client.post(&path(256, "trip")).await.is_problem(409, "too-many-breakers");
    server.client.post(&path(7, "trip")).await.ok();
    assert_eq!(server.client.post(&path(300, "reset")).await.ok()["state"], "closed", "it takes no place");
    let expected: Vec<_> = (0..256).map(|n| json!(format!("h{n:03}.example.com"))).collect();
    let names = |items: &[Value]| items.iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&all(&server.client, "/v1/breakers?limit=100", "breakers").await), expected);
    let listed = Cli::of(&server).json(&["breakers", "list"]);
    assert_eq!(names(listed["breakers"].as_array().expect("a list")), expected);
    server.client.get("/v1/breakers?after=h000").await.is_problem(400, "bad-query");
    server.client.post(&path(0, "reset")).await.ok();
    server.client.post(&path(256, "trip")).await.ok();
}

/// Sends a request, of whose answer it has room for little, and reads no more than the status.
async fn ask_and_stop(server: &Server, path: &str) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let address = server.url("").trim_start_matches("http://").parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut status = [0; 12];
    within("an answer", PATIENCE, stream.read_exact(&mut status)).await.expect("an answer");
    (stream, String::from_utf8_lossy(&status).into_owned())
}

/// The share of answers is 8 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_read_hold_a_bounded_number_of_bytes() {
    let server = Setup::new().env("WEIRGATE__SERVER__BUDGET_BYTES", (128 * MIB).to_string()).start().await;
    let large = event("large", "k", "1", &json!({ "padding": "x".repeat(255_000) }));
    let position = server.client.accept(large).await;
    let path = format!("/v1/events/{position}");
    let mut unread = Vec::new();
    eventually("an answer too many", PATIENCE, async || {
        let (stream, status) = ask_and_stop(&server, &path).await;
        unread.push(stream);
        if status == "HTTP/1.1 503" { Ok(()) } else { Err((status, unread.len())) }
    })
    .await;
    assert!(unread.len() <= 64, "{} answers were made", unread.len());
    server.client.get(&path).await.is_problem(503, "over-budget");
    server.client.get("/v1/status/k").await.is_problem(404, "not-found");
    drop(unread);
    eventually("the bytes to be free", PATIENCE, async || {
        let answer = server.client.get(&path).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}
