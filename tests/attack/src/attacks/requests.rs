//! Requests that are large, deep, or numerous.

use reqwest::Method;
use serde_json::json;

use crate::Field;

const BODY_BYTES: usize = 4 << 20;
const MODULE_BYTES: usize = 31 << 20;

/// Batches of as many empty events as fit in a body.
pub async fn empty_batches(field: &Field) {
    let body = format!("[{}{{}}]", "{},".repeat(BODY_BYTES / 3 - 4));
    field
        .at_once(4, |_| put(field, Method::POST, "/v1/events", "application/cloudevents-batch+json", body.clone()))
        .await;
}

/// JSON that nests as deep as fits in a body, wherever JSON is accepted.
pub async fn deep_json(field: &Field) {
    let deep = |open: &str, close: &str| {
        format!("{}{}", open.repeat(BODY_BYTES / 2 / open.len()), close.repeat(BODY_BYTES / 2 / open.len()))
    };
    let bodies = [deep("[", "]"), deep("{\"a\":", "}"), format!("[{}1]", "1,".repeat(BODY_BYTES / 2 - 4))];
    let endpoints = [
        (Method::POST, "/v1/events", "application/cloudevents+json"),
        (Method::POST, "/v1/events", "application/cloudevents-batch+json"),
        (Method::PUT, "/v1/handlers/attack-deep", "application/json"),
        (Method::POST, "/v1/deliveries/ledger@1/correct", "application/json"),
    ];
    field
        .at_once(4, async |index| {
            let (method, path, content_type) = endpoints[index].clone();
            for body in bodies.clone() {
                put(field, method.clone(), path, content_type, body).await;
            }
        })
        .await;
}

/// Invalid modules of the maximum size.
pub async fn uploads(field: &Field) {
    field
        .at_once(20, async |index| {
            let mut module = vec![u8::try_from(index).unwrap_or(0); MODULE_BYTES];
            module[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
            let request = field.client.request(Method::PUT, "/v1/modules").header("content-type", "application/wasm");
            let _ = field.client.attempt(request.body(module)).await;
        })
        .await;
}

/// Manifests with as many patterns as fit in a body.
pub async fn wide_manifests(field: &Field) {
    let uploaded = field.client.upload(weirgate_guests::build("ledger")).await.ok();
    let types: Vec<_> = (0..120_000).map(|n| format!("a{n}*b*c*d")).collect();
    let manifest = json!({ "name": "attack-patterns", "subscriptions": [{ "types": types }] });
    let body = json!({ "digest": uploaded["digest"], "manifest": manifest }).to_string();
    field
        .at_once(1, |_| put(field, Method::PUT, "/v1/handlers/attack-patterns", "application/json", body.clone()))
        .await;
}

/// A request whose answer does not matter.
async fn put(field: &Field, method: Method, path: &str, content_type: &str, body: String) {
    let request = field.client.request(method, path).header("content-type", content_type);
    let _ = field.client.attempt(request.body(body)).await;
}
