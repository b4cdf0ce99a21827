//! `weirgate status watch` at its ends: a server that stops, a gateway without one, and refusals; and the times of a status.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
    time::Duration,
};

use chrono::DateTime;
use serde_json::json;
use weirgate_tests::{Cli, Setup, binary, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn watch(url: &str) -> Output {
    let mut command = Command::new(binary());
    command.args(["--url", url, "status", "watch", "account/1"]).stdin(Stdio::null());
    command.output().expect("the command line")
}

/// Answers one request with `answer`, then ends the connection.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).expect("a request") > 0);
        stream.write_all(answer.as_bytes()).expect("answered");
    });
    url
}

#[test]
fn refusals_have_their_reason_and_gateways_their_code() {
    for (answer, code, says) in [
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: 103\r\n\r\n\
             {\"status\":503,\"detail\":\"as many live connections as it may\",\"code\":\"over-budget\",\"retryable\":true     }",
            5,
            "as many live connections as it may (over-budget)",
        ),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", 3, "the gateway answered 502"),
        ("HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 6\r\n\r\n<html>", 3, "the gateway answered 504"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 5, "is it a Weirgate server?"),
        ("", 3, "no answer from"),
    ] {
        let output = watch(&answering(answer));
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{answer}: {said}");
        assert!(said.starts_with("error: ") && said.contains(says), "{answer}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_is_one_that_cannot_be_reached() {
    let mut server = Setup::new().start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server.client.accept(event("ledger.add", "account/1", "1", &json!({ "n": 1 }))).await;
    server.client.reaches("account/1", "ledger", "counted").await;
    let seen = server.dir.join("seen");
    let mut watching = Command::new(binary())
        .args(["--url", &server.url(""), "--output", "json", "status", "watch", "account/1"])
        .stdout(std::fs::File::create(&seen).expect("a file"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command line");
    let line = eventually("the status", PATIENCE, async || {
        let text = std::fs::read_to_string(&seen).expect("the file");
        if text.ends_with('\n') { Ok(text) } else { Err(text) }
    })
    .await;
    let got = Cli::of(&server).json(&["status", "get", "account/1"]);
    for status in [serde_json::from_str(&line).expect("JSON"), got] {
        let status: serde_json::Value = status;
        let part = &status["parts"]["ledger"];
        let at = DateTime::parse_from_rfc3339(part["at"].as_str().expect("a time")).expect("RFC 3339");
        assert_eq!(json!(at.timestamp_millis()), part["at_ms"], "{status}");
    }
    server.terminate().await;
    let status =
        eventually("the command to end", PATIENCE, async || watching.try_wait().expect("its state").ok_or("it runs"))
            .await;
    let mut said = String::new();
    watching.stderr.take().expect("its errors").read_to_string(&mut said).expect("read");
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("lost the connection to") && said.contains("the server is stopping"), "{said}");
}
