//! Attacks that open and hold connections.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;
use weirgate_crash::accounts;
use weirgate_tests::Live;

use crate::Field;

const BODY_BYTES: usize = 4 << 20;

/// Requests whose bodies lack their last byte.
pub async fn bodies_without_an_end(field: &Field) {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + BODY_BYTES - 1, b' ');
    let connections = join_all((0..300).map(|_| field.sent(&request))).await;
    field.wait().await;
    drop(connections);
}

/// Requests whose heads do not end.
pub async fn heads_without_an_end(field: &Field) {
    let held =
        join_all((0..300).map(|_| field.sent(b"GET /v1/handlers HTTP/1.1\r\nhost: localhost\r\nx-more: "))).await;
    field.wait().await;
    drop(held);
}

/// At first more connections than a process has descriptors, opened again when they are closed.
pub async fn idle_connections(field: &Field) {
    while field.goes_on() {
        let held = join_all((0..1_100).map(|_| field.sent(b""))).await;
        sleep(Duration::from_secs(3)).await;
        drop(held);
    }
}

/// Sockets that watch as many subjects as allowed, each as long as a message allows.
pub async fn wide_sockets(field: &Field) {
    let watch = async |socket: usize| {
        let mut live = Live::try_connect(&field.client.url(""), None).await.ok()?;
        for n in 0..128 {
            let subject = format!("{socket}-{n}-{}", "x".repeat(15_000));
            live.try_say(json!({ "type": "subscribe", "subjects": [{ "subject": subject }] }).to_string()).await?;
        }
        Some(live)
    };
    let held = join_all((0..100).map(watch)).await;
    field.wait().await;
    drop(held);
}

/// Sockets that subscribe and never read.
pub async fn slow_readers(field: &Field) {
    let wanted: Vec<_> = accounts().iter().map(|account| json!({ "subject": account })).collect();
    let subscribe = json!({ "type": "subscribe", "subjects": wanted }).to_string();
    let watch = async |_: usize| {
        let mut live = Live::try_connect(&field.client.url(""), None).await.ok()?;
        live.try_say(subscribe.clone()).await?;
        Some(live)
    };
    let held = join_all((0..100).map(watch)).await;
    field.wait().await;
    drop(held);
}
