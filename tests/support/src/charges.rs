//! Charges that were handled by the guest `mender`, which calls a gateway, and replays of them, by the API.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Client, Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "sk_live_4242";
/// Number of charges.
pub const CHARGES: usize = 3;

/// The manifest of `mender`, which calls the gateway; `also` are further calls: `GET rate, POST receipt`.
pub fn mender(gateway: &Gateway, also: &str) -> Value {
    let mut mender = manifest("mender", &["mend.*"]);
    mender["capabilities"] = json!({ "hosts": [gateway.url()], "secrets": ["gateway"] });
    mender["config"] = json!({ "gateway_url": gateway.url(), "also": also });
    mender
}

/// A server on which charges were handled, and the digest of the handler's module.
pub async fn charged(gateway: &Gateway) -> (Server, Value) {
    let server = Setup::new()
        .env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host())
        .env("WEIRGATE__SECRETS__GATEWAY", SECRET)
        .env("WEIRGATE__SECRETS__GATEWAY__HANDLERS", "mender")
        .env("WEIRGATE__SECRETS__GATEWAY__HOSTS", gateway.url())
        .start()
        .await;
    let client = &server.client;
    let digest = client.deploy(&mender(gateway, ""), weirgate_guests::build("mender")).await["digest"].clone();
    for n in 0..CHARGES {
        let charge = event("mend.charge", &format!("charge/{n}"), &format!("c-{n}"), &json!({ "amount": n }));
        client.accept(charge).await;
    }
    client.drained(PATIENCE).await;
    assert_eq!((gateway.requests("/charge").len(), gateway.requests("/confirm").len()), (CHARGES, CHARGES));
    (server, digest)
}

/// Waits until a replay is computed, or cannot be.
pub async fn computed(client: &Client, id: &str) -> Value {
    eventually("the replay to be computed", PATIENCE, async || {
        let replay = client.get(&format!("/v1/replays/{id}")).await.ok();
        if replay["found"].is_object() || replay["error"].is_string() { Ok(replay) } else { Err(replay) }
    })
    .await
}

pub fn id_of(replay: &Value) -> &str {
    replay["id"].as_str().expect("an id")
}

/// Asks what the version in force would do.
pub async fn ask(client: &Client, missing_answers: &str) -> Value {
    let request = json!({ "handler": "mender", "missing_answers": missing_answers });
    let asked = client.ask("/v1/replays", &request).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    computed(client, id_of(&asked.json)).await
}

/// Approves the plan.
pub async fn approve(client: &Client, replay: &Value, allow_calls: bool) {
    let approval =
        json!({ "plan": replay["found"]["plan"], "allow_calls": allow_calls, "reason": "receipts are missing" });
    client.ask(&format!("/v1/replays/{}/approve", id_of(replay)), &approval).await.ok();
}

/// Applies what was approved, and returns what came of it.
pub async fn apply(client: &Client, replay: &Value) -> Value {
    let path = format!("/v1/replays/{}", id_of(replay));
    assert_eq!(client.ask(&format!("{path}/apply"), &json!({})).await.status, 202);
    let ended = eventually("the application to end", PATIENCE, async || {
        let replay = client.get(&path).await.ok();
        if replay["application"]["running"] == false { Ok(replay) } else { Err(replay) }
    })
    .await;
    client.drained(PATIENCE).await;
    ended
}

/// Why the keys were not repaired.
pub fn refusals(replay: &Value) -> Vec<&str> {
    let refused = replay["application"]["refused"]["first"].as_array().expect("a list");
    refused.iter().map(|one| one["reason"].as_str().expect("a reason")).collect()
}

/// What the status of a charge says.
pub async fn text_of(client: &Client, n: usize) -> String {
    let status = client.status(&format!("charge/{n}")).await;
    status["parts"]["mender"]["text"].as_str().unwrap_or_default().to_owned()
}
