//! Requests that are refused while their client still sends a large body: each kind of refusal reaches ordinary clients, which
//! otherwise see a broken connection.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weirgate_tests::{Server, Setup, eventually, python_program, run_script, within};

const PATIENCE: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";
const EVENT: &str = "application/cloudevents+json";

/// A request, its method, path and headers, and the status and code of its answer.
type Refused<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// What both clients get for each of these requests with a body of 5 MiB.
async fn ask(server: &Server, requests: &[Refused<'_>], times: usize) {
    let listed: Vec<_> = requests
        .iter()
        .map(|(method, path, headers, _)| {
            let headers: serde_json::Map<_, _> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            json!([method, path, headers])
        })
        .collect();
    let expected: Vec<_> = requests.iter().map(|(.., answer)| *answer).collect();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks");
    let clients: [(PathBuf, &str); 2] =
        [("node".into(), "large_bodies.mjs"), (python_program("python3"), "large_bodies.py")];
    for (program, script) in clients {
        for _ in 0..times {
            let output =
                run_script(&program, &scripts.join(script), server, &Value::from(listed.clone()).to_string()).await;
            let answers: Vec<String> = serde_json::from_str(&output).expect("a list");
            for ((method, path, headers, _), (answer, expected)) in requests.iter().zip(answers.iter().zip(&expected)) {
                let path = path.get(..40).unwrap_or(path);
                assert_eq!(answer, expected, "{script}: {method} {path} {headers:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_reaches_a_client_that_sends_a_large_body() {
    let shop = tempfile::tempdir().expect("a directory");
    std::fs::write(shop.path().join("index.html"), "<!doctype html>").expect("a page");
    let server = Setup::new().arg("--shop").arg(shop.path().to_str().expect("a path")).start().await;
    let long = format!("/v1/events?key={}", "x".repeat(32 << 10));
    let requests: [Refused<'_>; 17] = [
        (
            "POST",
            "/v1/events",
            &[("content-type", EVENT), ("content-encoding", "gzip")],
            "415 unsupported-content-encoding",
        ),
        ("POST", "/v1/events?x=1", &[("content-type", EVENT)], "400 bad-query"),
        (
            "POST",
            "/v1/events",
            &[("content-type", EVENT), ("origin", "https://evil.example")],
            "403 origin-not-allowed",
        ),
        ("POST", "/v1/events", &[("content-type", EVENT), ("host", "evil.test")], "421 unknown-host"),
        ("POST", "/v1/events", &[("content-type", "text/plain")], "415 unsupported-content-type"),
        ("POST", "/v1/events", &[("content-type", EVENT)], "413 request-too-large"),
        ("POST", &long, &[("content-type", EVENT)], "414 target-too-long"),
        ("POST", "/v1/nowhere", &[("content-type", EVENT)], "404 not-found"),
        ("DELETE", "/v1/events", &[("content-type", EVENT)], "405 method-not-allowed"),
        ("POST", "/livez", &[("content-type", JSON)], "405 method-not-allowed"),
        ("POST", "/shop/", &[("content-type", JSON)], "405 method-not-allowed"),
        ("POST", "/v1/bulk-jobs/xx/cancel", &[("content-type", JSON)], "400 bad-path"),
        ("POST", "/v1/handlers/BAD/pause", &[("content-type", JSON)], "400 bad-id"),
        ("POST", "/v1/handlers/BAD/events", &[("content-type", EVENT)], "400 bad-id"),
        ("POST", "/v1/dead-letters/nonsense/resubmit", &[("content-type", JSON)], "400 bad-id"),
        ("PUT", "/v1/handlers/a", &[("content-type", "text/plain")], "415 bad-json"),
        ("PUT", "/v1/modules", &[("content-type", "text/html")], "415 unsupported-content-type"),
    ];
    ask(&server, &requests, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_beyond_the_limit_gets_its_answer_too() {
    let server = Setup::new().env("WEIRGATE__SERVER__CONNECTIONS_MAX", "4").start().await;
    let mut held: Vec<TcpStream> = Vec::new();
    eventually("all places to be taken", PATIENCE, async || {
        let mut connection = server.connect().await;
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
        let mut answer = [0; 1024];
        let count = within("an answer", PATIENCE, connection.read(&mut answer)).await.expect("an answer");
        held.push(connection);
        if answer[..count].starts_with(b"HTTP/1.1 503") { Ok(()) } else { Err("there are places") }
    })
    .await;
    ask(&server, &[("POST", "/v1/events", &[("content-type", EVENT)], "503 too-many-connections")], 3).await;
}

/// A body that does not end costs a connection for some seconds, not for ever, and no more than a few at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_that_does_not_end_is_not_waited_for() {
    let server = Setup::new().start().await;
    let mut connections = Vec::new();
    for _ in 0..64 {
        let mut connection = server.connect().await;
        let head = "POST /v1/nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n";
        connection.write_all(head.as_bytes()).await.expect("written");
        connections.push(connection);
    }
    for mut connection in connections {
        let mut answer = Vec::new();
        // The connection ends, by a reset if the server did not read all of it.
        let _ = within("the connection's end", Duration::from_secs(20), connection.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.client.get("/livez").await.status, 200);
}
