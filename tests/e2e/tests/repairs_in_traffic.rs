//! A key that gets events all the time is repaired, on the real binary: a member registers every few milliseconds with an organisation that
//! has thousands of them, and the repair finds the moment that it needs.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use weirgate_tests::{
    Client, Setup,
    activation::{forgetful, registered, version},
    eventually,
};

const PATIENCE: Duration = Duration::from_secs(180);
/// Members that the version with the defect has forgotten.
const FORGOTTEN: usize = 3_000;
const PAUSE: Duration = Duration::from_millis(4);

/// Members register one after the other until that is over; returns how many.
async fn registrations(client: &Client, is_over: &AtomicBool) -> usize {
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        client.accept(registered(1, &format!("n{count}"))).await;
        count += 1;
        tokio::time::sleep(PAUSE).await;
    }
    count
}

async fn ended(client: &Client, id: &str) -> Value {
    eventually("the application to end", PATIENCE, async || {
        let replay = client.replay(id).await;
        if replay["application"]["running"] == false { Ok(replay) } else { Err(replay) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_gets_events_all_the_time_is_repaired() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = forgetful(client, 0).await;
    let members: Vec<Value> = (0..FORGOTTEN).map(|n| registered(1, &format!("o{n}"))).collect();
    for page in members.chunks(100) {
        client.publish(page).await.ok();
    }
    client.drained(PATIENCE).await;
    client.redeploy(&version(false), &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let id = asked["id"].as_str().expect("an id");
    let is_over = AtomicBool::new(false);
    let application = async {
        client.about_replay(id, "approve", &json!({ "plan": asked["found"]["plan"] })).await.ok();
        client.about_replay(id, "apply", &json!({})).await.ok();
        let applied = ended(client, id).await;
        is_over.store(true, Ordering::Relaxed);
        applied
    };
    let (applied, new) = tokio::join!(application, registrations(client, &is_over));
    assert_eq!((&applied["state"], &applied["repaired"]), (&json!("applied"), &json!(1)), "{applied:#}");
    client.drained(PATIENCE).await;
    // It stands as if the fixed version had handled all of it, the members included who came while the key was looked at.
    assert!(new > 0, "there was no traffic");
    let again = client.what_if(&json!({ "handler": "activation" })).await;
    assert_eq!(again["found"]["planned_keys"], 0, "{again:#}");
}
