//! How live connections end: closes under load and while the server stops, pings without an answer, floods that are not
//! read, and subjects that are named many times.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]
// The tests await the tasks that they start.
#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::watch, time::timeout};
use weirgate_tests::{
    CLOSE, End, Live, PING, PONG, RawFrame, RawSocket, Server, Setup, TEXT, closing, event, eventually, manifest,
    masked, within,
};

const PATIENCE: Duration = Duration::from_secs(45);
const MIB: u64 = 1024 * 1024;

async fn with_ledger() -> Server {
    let server = Setup::new().start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server
}

fn subscription(subjects: impl IntoIterator<Item = String>) -> Vec<u8> {
    let subjects: Vec<_> = subjects.into_iter().map(|subject| json!({ "subject": subject })).collect();
    masked(TEXT, json!({ "type": "subscribe", "subjects": subjects }).to_string().as_bytes())
}

/// The `code` of the last text, which explains a close.
fn word(frames: &[RawFrame]) -> Value {
    let last = frames.iter().rev().find(|frame| frame.first == TEXT);
    last.map_or(Value::Null, |frame| serde_json::from_str::<Value>(frame.text()).expect("JSON")["code"].clone())
}

async fn connections(server: &Server, count: usize) {
    let gauge = format!("weirgate_live_connections {count}\n");
    eventually("that number of live connections", PATIENCE, async || {
        let metrics = server.client.get("/metrics").await.text;
        if metrics.contains(&gauge) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_under_load_is_answered_behind_what_is_under_way() {
    let server = with_ledger().await;
    // A client that asks again and again, and reads no answer.
    let subjects: Vec<_> = (0..100).map(|n| format!("account/{n}")).collect();
    let entries: Vec<_> = subjects.iter().map(|one| event("ledger.add", one, one, &json!({ "n": 1 }))).collect();
    server.client.publish(&entries).await.ok();
    server.client.drained(PATIENCE).await;
    let mut socket = RawSocket::connect(&server).await;
    let request = subscription(subjects);
    let flood = async {
        while timeout(Duration::from_secs(1), socket.stream.write_all(&request)).await.is_ok_and(|sent| sent.is_ok()) {}
    };
    within("a full send queue", PATIENCE, flood).await;
    drop(socket);
    connections(&server, 0).await;

    for rounds in [1, 40] {
        let mut socket = RawSocket::connect(&server).await;
        for _ in 0..rounds {
            socket.send(&request).await;
        }
        socket.send(&closing(1000, b"done")).await;
        let End { code, in_order, .. } = socket.end(false).await;
        assert_eq!((code, in_order), (1000, true), "after {rounds} subscriptions");
    }
    connections(&server, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_says_1001_and_waits_for_the_answer() {
    let mut server = with_ledger().await;
    let (idle, mut crossing, deaf) =
        tokio::join!(RawSocket::connect(&server), RawSocket::connect(&server), RawSocket::connect(&server));
    let idle = tokio::spawn(idle.end(true));
    let stopped = async {
        // A close of the client's own that crosses the server's.
        crossing.send(&closing(1000, b"")).await;
        crossing.end(false).await
    };
    let (status, crossed) = tokio::join!(server.terminate(), stopped);
    assert_eq!(status.code(), Some(0));
    let idle = within("the end", PATIENCE, idle).await.expect("a result");
    assert_eq!((idle.code, idle.in_order), (1001, true));
    assert!([1000, 1001].contains(&crossed.code) && crossed.in_order, "{crossed:?}");
    // One that reads later still finds the close.
    assert_eq!(deaf.end(false).await.code, 1001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closes_of_the_server_are_in_order_whether_answered_or_not() {
    let server = with_ledger().await;
    let many = || subscription((0..129).map(|n| format!("account/{n}")));
    for answers in [true, false] {
        for (bytes, code, expected) in [
            (masked(TEXT, b"{"), 4500, "bad-message"),
            (masked(TEXT, br#"{"type":"dance"}"#), 4500, "bad-message"),
            (many(), 4501, "too-many-subjects"),
            (subscription(["x".repeat(1_025)]), 4503, "bad-subject"),
            (subscription([String::new()]), 4503, "bad-subject"),
        ] {
            let mut socket = RawSocket::connect(&server).await;
            socket.send(&bytes).await;
            let end = socket.end(answers).await;
            assert_eq!((end.code, end.in_order), (code, true), "{expected}");
            assert_eq!(word(&end.frames), expected);
        }
    }
    connections(&server, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_no_ping_loses_its_place_and_one_that_does_stays() {
    let setup = Setup::new().env("WEIRGATE__LIVE__PING_MS", "150").env("WEIRGATE__LIVE__PONG_TIMEOUT_MS", "400");
    let server = setup.start().await;
    // Pongs that answer no ping are no sign of life, nor is anything else.
    let unanswered: [fn(&RawFrame) -> Vec<u8>; 4] = [
        |_| Vec::new(),
        |_| masked(PONG, b""),
        |ping| masked(PONG, &[&ping.payload[..], b"x"].concat()),
        |_| masked(PING, b"hello?"),
    ];
    for answer in unanswered {
        let mut socket = RawSocket::connect(&server).await;
        let mut pings = 0;
        let code = loop {
            let frame = socket.frame().await.expect("a ping, or a close");
            match frame.first {
                PING => {
                    pings += 1;
                    socket.send(&answer(&frame)).await;
                }
                CLOSE => break u16::from_be_bytes([frame.payload[0], frame.payload[1]]),
                _ => {}
            }
        };
        assert_eq!((pings, code), (1, 4002));
    }
    connections(&server, 0).await;
    let mut socket = RawSocket::connect(&server).await;
    for _ in 0..8 {
        let ping = socket.frame().await.expect("a ping");
        assert_eq!(ping.first, PING);
        socket.send(&masked(PONG, &ping.payload)).await;
    }
    // A library answers by itself, as browsers do.
    let mut library = Live::connect(&server.url("")).await;
    assert!(timeout(Duration::from_secs(2), library.frame()).await.is_err(), "it stays");
    connections(&server, 1).await;
}

/// Sends `bytes` again and again on several connections, and reads nothing until the server has given all of them up.
async fn flood(server: &Server, bytes: &[u8]) -> Vec<End> {
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(RawSocket::connect(server).await);
    }
    let (stop, stopped) = watch::channel(false);
    let flooding = sockets.into_iter().map(|mut socket| {
        let mut stopped = stopped.clone();
        async move {
            tokio::select! {
                () = async { while socket.stream.write_all(bytes).await.is_ok() {} } => {}
                _ = stopped.changed() => {}
            }
            socket.end(false).await
        }
    });
    let given_up = async {
        connections(server, 0).await;
        stop.send_replace(true);
    };
    tokio::join!(futures_util::future::join_all(flooding), given_up).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_floods_are_bounded_and_get_their_code() {
    let server = with_ledger().await;
    let entry = |n: u64| event("ledger.add", &format!("account/{n}"), &n.to_string(), &json!({ "n": n }));
    server.client.publish(&(0..100).map(entry).collect::<Vec<_>>()).await.ok();
    server.client.drained(PATIENCE).await;
    let before = server.memory_bytes_peak();
    let subscribe = subscription((0..100).map(|n| format!("account/{n}")));
    for bytes in [subscribe, masked(PING, &[b'x'; 125]).repeat(100)] {
        for end in flood(&server, &bytes).await {
            assert_eq!((end.code, end.in_order, word(&end.frames)), (4000, true, json!("slow")));
        }
    }
    let grown = server.memory_bytes_peak() - before;
    assert!(grown < 32 * MIB, "the server took {} MiB for six floods", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_named_many_times_is_one() {
    let server = with_ledger().await;
    let client = &server.client;
    client.accept(event("ledger.add", "account/1", "1", &json!({ "n": 1 }))).await;
    client.drained(PATIENCE).await;
    let mut live = Live::connect(&server.url("")).await;
    live.subscribe(&["account/1"; 129]).await;
    assert_eq!(live.receive().await["subject"], "account/1");
    // With the same one once more, all places are taken: 128 subjects, each answered once.
    let named: Vec<_> = (0..128).chain([0, 1, 2]).map(|n| format!("account/{n}")).collect();
    live.subscribe(&named.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for subject in &named[..128] {
        assert_eq!(&live.receive().await["subject"], subject);
    }
    live.subscribe(&["account/5", "account/5"]).await;
    assert_eq!(live.receive().await["subject"], "account/5");
    live.subscribe(&["account/128"]).await;
    assert_eq!(live.close_code().await.1, 4501);

    let query = vec!["subject=account/1"; 129].join("&");
    let stream = client.request(reqwest::Method::GET, &format!("/v1/live?{query}"));
    let mut stream =
        stream.header("accept", "application/json, text/event-stream;q=0.9").send().await.expect("a stream");
    assert_eq!(stream.status(), 200);
    let first = within("an event", PATIENCE, stream.chunk()).await.expect("open").expect("an event");
    let text = String::from_utf8_lossy(&first).into_owned();
    assert!(text.contains("account/1"), "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id:")).expect("an id").trim().to_owned();
    assert!(!id.contains(','), "one subject has one version: {id}");
    let too_many = (0..129).map(|n| format!("subject=account/{n}")).collect::<Vec<_>>().join("&");
    let refused = client.request(reqwest::Method::GET, &format!("/v1/live?{too_many}"));
    client
        .attempt(refused.header("accept", "text/event-stream"))
        .await
        .expect("an answer")
        .is_problem(400, "bad-query");
}
