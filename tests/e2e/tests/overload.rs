//! Limits before work: connections, half requests, large bodies and subscriptions, each more than the server accepts. It
//! refuses the excess, holds little memory for it, and continues to serve all others.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weirgate_tests::{Live, Server, Setup, event, eventually, manifest, within};

const PATIENCE: Duration = Duration::from_mins(1);
const MIB: u64 = 1 << 20;

/// The head of a publication with a body of this many bytes.
fn head(bytes: usize) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {bytes}\r\n\r\n"
    )
}

/// Reads until the server closes or resets the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count) = within("the connection's end", PATIENCE, stream.read(&mut buffer)).await {
        if count == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).expect("an answer is text")
}

/// Send a request without a body, and read the head of its answer.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the connection is open");
    let mut buffer = [0; 4096];
    let count = within("an answer", PATIENCE, stream.read(&mut buffer)).await.expect("the connection is open");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

async fn publish_small(server: &Server, id: &str) {
    server.client.publish(&[event("small", "k", id, &json!({}))]).await.ok();
}

/// Publishes more than a segment of the log holds, over a connection that is already open.
async fn fill_a_segment(publisher: &mut TcpStream) {
    let padding = "x".repeat(250_000);
    for batch in 0..20 {
        let events = (0..15).map(|n| event("large", "k", &format!("{batch}-{n}"), &json!({ "padding": padding })));
        let body = Value::from(events.collect::<Vec<_>>()).to_string();
        let head = head(body.len()).replace("cloudevents+json", "cloudevents-batch+json");
        publisher.write_all(format!("{head}{body}").as_bytes()).await.expect("the connection is open");
        let (mut answer, mut buffer) = (String::new(), [0; 16 * 1024]);
        while !answer.ends_with("]}") {
            let count =
                within("an answer", PATIENCE, publisher.read(&mut buffer)).await.expect("the connection is open");
            assert!(count > 0, "the connection was closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&buffer[..count]).expect("an answer is text"));
        }
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
}

fn segments(server: &Server) -> usize {
    std::fs::read_dir(server.dir.join("log")).expect("the log").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_leave_descriptors_for_the_log() {
    let mut server = Setup::new().descriptors(256, 256).start().await;
    let mut publisher = server.connect().await;
    assert!(ask(&mut publisher, "/livez").await.starts_with("HTTP/1.1 200"));
    let before = segments(&server);
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(server.connect().await);
    }
    Box::pin(fill_a_segment(&mut publisher)).await;
    assert!(segments(&server) > before, "a segment was created meanwhile");
    drop(idle);
    server.restart().await;
    assert!(server.client.get("/v1/events?limit=1").await.ok()["head"].as_u64() >= Some(300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let server = Setup::new().descriptors(128, 4_096).start().await;
    let mut connections = Vec::new();
    for _ in 0..400 {
        connections.push(server.connect().await);
    }
    for connection in &mut connections {
        let answer = ask(connection, "/livez").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_beyond_the_limit_is_refused_and_later_ones_are_not() {
    let server = Setup::new().env("WEIRGATE__SERVER__CONNECTIONS_MAX", "8").start().await;
    let mut held = Vec::new();
    eventually("all places to be taken", PATIENCE, async || {
        let mut connection = server.connect().await;
        let answer = ask(&mut connection, "/livez").await;
        held.push(connection);
        if answer.starts_with("HTTP/1.1 503") { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert!(held.len() <= 9, "{} connections were taken", held.len());
    let mut refused = server.connect().await;
    let answer = ask(&mut refused, "/v1/handlers").await.to_ascii_lowercase();
    assert!(answer.contains("retry-after: 1") && answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    assert_eq!(read_to_end(&mut refused).await.matches("HTTP/").count(), 0, "it is closed");
    held.remove(0);
    eventually("a slot to become free", PATIENCE, async || {
        let answer = ask(&mut server.connect().await, "/livez").await;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_and_an_idle_connection_end() {
    let server = Setup::new()
        .env("WEIRGATE__SERVER__HEADER_TIMEOUT_MS", "500")
        .env("WEIRGATE__SERVER__BODY_IDLE_TIMEOUT_MS", "500")
        .start()
        .await;
    let mut silent = server.connect().await;
    let mut half_a_head = server.connect().await;
    half_a_head.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").await.expect("written");
    let mut idle = server.connect().await;
    assert!(ask(&mut idle, "/livez").await.starts_with("HTTP/1.1 200"));
    let mut half_a_body = server.connect().await;
    half_a_body.write_all(format!("{}{{", head(100)).as_bytes()).await.expect("written");
    for connection in [&mut silent, &mut half_a_head, &mut idle] {
        read_to_end(connection).await;
    }
    let answer = read_to_end(&mut half_a_body).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"code\":\"body-timeout\""), "{answer}");
    publish_small(&server, "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_too_slowly_ends() {
    let server = Setup::new().env("WEIRGATE__SERVER__BODY_TIMEOUT_MS", "700").start().await;
    let mut slow = server.connect().await;
    slow.write_all(head(100_000).as_bytes()).await.expect("written");
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    // Never idle, never complete.
    let answer = within("an answer", PATIENCE, async {
        let mut answer = vec![0; 4096];
        loop {
            tokio::select! {
                _ = ticks.tick() => drop(slow.write_all(b"x").await),
                count = slow.read(&mut answer) => {
                    answer.truncate(count.expect("an answer"));
                    return answer;
                }
            }
        }
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_bodies_hold_bounded_memory() {
    let server = Setup::new()
        .env("WEIRGATE__SERVER__BUDGET_BYTES", (128 * MIB).to_string())
        .env("WEIRGATE__SERVER__BODY_IDLE_TIMEOUT_MS", "3000")
        .start()
        .await;
    publish_small(&server, "before").await;
    let before = server.memory_bytes_peak();
    let bytes = 4 << 20;
    let body = vec![b' '; bytes - 1];
    let sent = (0..80).map(|_| async {
        let mut connection = server.connect().await;
        connection.write_all(head(bytes).as_bytes()).await.expect("written");
        // A refused connection may be reset.
        let _ = connection.write_all(&body).await;
        read_to_end(&mut connection).await
    });
    let answers = within("all answers", PATIENCE, futures_util::future::join_all(sent)).await;
    let count = |word: &str| answers.iter().filter(|answer| answer.contains(word)).count();
    assert!(count("over-budget") > 40 && count("body-timeout") > 0, "{answers:?}");
    let grown = server.memory_bytes_peak() - before;
    assert!(grown < 96 * MIB, "the server took {} MiB for 80 half bodies", grown / MIB);
    publish_small(&server, "after").await;
    let metrics = server.client.get("/metrics").await.text;
    assert!(metrics.contains("weirgate_budget_held_bytes{purpose=\"requests\"} 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_empty_objects_uses_bounded_memory() {
    let server = Setup::new().start().await;
    publish_small(&server, "before").await;
    let before = server.memory_bytes_peak();
    let body = format!("[{}{{}}]", "{},".repeat(1_390_000));
    let content_type = "application/cloudevents-batch+json";
    for _ in 0..3 {
        let answer = server.client.send(reqwest::Method::POST, "/v1/events", content_type, body.clone()).await;
        answer.is_problem(413, "batch-too-large");
    }
    // The same within one event: endless attributes.
    let attributes: Vec<_> = (0..300_000).map(|n| format!("\"a{n}\":0")).collect();
    let event = format!("{{{}}}", attributes.join(","));
    let answer = server.client.send(reqwest::Method::POST, "/v1/events", "application/cloudevents+json", event).await;
    answer.is_problem(400, "not-a-cloudevent");
    let grown = server.memory_bytes_peak() - before;
    assert!(grown < 48 * MIB, "the server took {} MiB for a body of 4 MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_at_most_a_kibibyte_at_every_endpoint() {
    let server = Setup::new().start().await;
    let (longest, longer) = ("x".repeat(1_024), "x".repeat(1_025));
    server.client.get(&format!("/v1/status/{longest}")).await.is_problem(404, "not-found");
    server.client.get(&format!("/v1/status/{longer}")).await.is_problem(400, "bad-subject");
    server.client.get(&format!("/v1/status/{longer}?after=0&wait=1s")).await.is_problem(400, "bad-subject");
    let events = server.client.request(reqwest::Method::GET, &format!("/v1/live?subject={longer}"));
    let refused = server.client.attempt(events.header("accept", "text/event-stream")).await.expect("an answer");
    refused.is_problem(400, "bad-subject");
    server.client.publish(&[event("t", &longer, "1", &json!({}))]).await.is_problem(422, "bad-attribute");
    let mut live = Live::connect(&server.url("")).await;
    live.subscribe(&[&longest]).await;
    assert_eq!(live.receive().await["subject"], longest);
    live.subscribe(&[&longer]).await;
    let (frames, code) = live.close_code().await;
    assert_eq!((code, &frames.last().expect("a word")["code"]), (4503, &json!("bad-subject")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_take_from_the_budget_and_give_back() {
    let server = Setup::new().env("WEIRGATE__SERVER__BUDGET_BYTES", (128 * MIB).to_string()).start().await;
    // 4 KiB each of a share of 16 MiB.
    let mut watching = Vec::new();
    let refused = eventually("a subscription too many", PATIENCE, async || {
        let mut live = Live::connect(&server.url("")).await;
        for part in 0..16 {
            let subject = |n: usize| format!("{}/{part}/{n}/{}", watching.len(), "x".repeat(1_000));
            let subjects: Vec<_> = (0..8).map(subject).collect();
            live.subscribe(&subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;
            for _ in &subjects {
                match live.frame().await {
                    Some(frame) if frame["type"] == "snapshot" => {}
                    Some(frame) => return Ok((frame["code"].clone(), live.close_code().await.1)),
                    None => panic!("closed without a word"),
                }
            }
        }
        watching.push(live);
        Err(watching.len())
    })
    .await;
    assert_eq!(refused, (json!("over-budget"), 4001));
    assert!((20..40).contains(&watching.len()), "{} sockets watch 128 subjects each", watching.len());
    let events = server.client.request(reqwest::Method::GET, "/v1/status/k?after=0&wait=1s");
    let answer = server.client.attempt(events).await.expect("an answer");
    assert!([404, 503].contains(&answer.status), "{}", answer.text);
    drop(watching);
    eventually("the subscriptions' bytes to be given back", PATIENCE, async || {
        let metrics = server.client.get("/metrics").await.text;
        let held = "weirgate_budget_held_bytes{purpose=\"subscriptions\"} 0";
        if metrics.contains(held) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

/// A manifest of `hostile` whose attempts fail, each with a log of a mebibyte, `attempts` times.
fn logging(attempts: u32) -> Value {
    let mut hostile = manifest("hostile", &["hostile.floods_output"]);
    hostile["limits"] = json!({ "cpu_ms": 200, "log_lines": 16, "log_line_bytes": 65_536 });
    hostile["retry"] = match attempts {
        1 => json!([]),
        _ => json!([{ "attempts": attempts - 1, "first_delay_ms": 1, "factor": 1.0, "delay_ms_max": 1 }]),
    };
    hostile
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_what_failed_hold_a_bounded_part_of_memory() {
    const FAILURES: usize = 60;
    let server = Setup::new().start().await;
    let client = &server.client;
    server.client.deploy(&logging(1), weirgate_guests::build("hostile")).await;
    let fails = |n: usize| event("hostile.floods_output", &format!("k/{n}"), &n.to_string(), &json!({}));
    client.publish(&(0..FAILURES).map(fails).collect::<Vec<_>>()).await.ok();
    client.drained(PATIENCE).await;
    let digest = client.handler("hostile").await["digest"].clone();
    client.redeploy(&logging(u32::try_from(FAILURES).expect("small")), &digest).await.ok();
    let often = client.accept(fails(FAILURES)).await;
    client.drained(PATIENCE).await;
    let before = server.memory_bytes_peak();
    let first = client.get("/v1/dead-letters?limit=1000").await.ok();
    let detail = client.get(&format!("/v1/dead-letters/hostile@{often}")).await.ok();
    let delivery = client.get(&format!("/v1/deliveries/hostile@{often}")).await.ok();
    let grown = server.memory_bytes_peak() - before;
    assert!(grown < 64 * MIB, "the server took {} MiB for three answers", grown / MIB);
    // The pages lead to all of them, and the newest failures are told.
    let (mut page, mut count) = (first, 0);
    loop {
        let found = page["dead_letters"].as_array().expect("dead letters").len();
        assert!((1..=8).contains(&found), "{found} of a mebibyte each");
        count += found;
        let Some(next) = page["next"].as_str() else { break };
        page = client.get(&format!("/v1/dead-letters?limit=1000&after={next}")).await.ok();
    }
    assert_eq!(count, FAILURES + 1);
    for shown in [detail, delivery] {
        let failures = shown["failures"].as_array().expect("failures");
        assert!((1..=8).contains(&failures.len()), "{} failures of a mebibyte each", failures.len());
        assert_eq!(failures.last().expect("one")["attempt"], json!(FAILURES));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_keeps_its_slot_until_its_client_has_read_it() {
    const SLOTS: usize = 8;
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("hostile")).await.ok()["digest"].clone();
    // More than the buffers of a socket take.
    for n in 0..80 {
        let mut large = manifest(&format!("large-{n}"), &["nothing"]);
        large["config"] = json!({ "text": "x".repeat(250_000) });
        client.redeploy(&large, &digest).await.ok();
    }
    let mut readers = Vec::new();
    for _ in 0..SLOTS {
        let mut reader = server.connect().await;
        assert!(ask(&mut reader, "/v1/handlers").await.starts_with("HTTP/1.1 200"));
        readers.push(reader);
    }
    let paths = ["/v1/handlers", "/v1/dead-letters", "/v1/deliveries", "/v1/blocked", "/v1/events"];
    for answer in futures_util::future::join_all(paths.map(|path| client.get(path))).await {
        answer.is_problem(503, "over-budget");
    }
    drop(readers.pop());
    eventually("a free slot", PATIENCE, async || {
        let answer = client.get("/v1/dead-letters").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}
