//! Deliveries that fail at first: order is kept while they wait, dead letters can be opened again.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn hostile(behaviour: &str, key: &str, id: &str) -> Value {
    event(&format!("hostile.{behaviour}"), key, id, &json!({ "quantity": 1 }))
}

async fn delivery(client: &Client, id: &str) -> Option<Value> {
    let listed = client.get("/v1/deliveries?handler=hostile").await.ok();
    listed["deliveries"].as_array().expect("deliveries").iter().find(|delivery| delivery["id"] == id).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_events_of_a_key_wait_behind_one_that_is_retried_and_other_keys_do_not() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("hostile", &["hostile.*"]);
    let deployed = server.client.deploy(&manifest, weirgate_guests::build("hostile")).await;
    let failing = server.client.accept(hostile("fails_transient", "thing/1", "1")).await;
    let behind = server.client.accept(hostile("plain", "thing/1", "2")).await;
    server.client.accept(hostile("plain", "thing/2", "3")).await;
    server.client.reaches("thing/2", "hostile", "counted").await;
    // From the second attempt on the guest requests a delay of 1.5 s, so that it can be observed.
    for restarted in [false, true] {
        let retrying = eventually("the delivery to wait for its time", PATIENCE, async || {
            let found = delivery(&server.client, &format!("hostile@{failing}")).await;
            found.filter(|found| found["state"] == "retrying" && found["attempt"].as_u64() > Some(1)).ok_or("not yet")
        });
        assert!(retrying.await["next_attempt_at_ms"].as_u64() > Some(1_500_000_000_000));
        let blocked = delivery(&server.client, &format!("hostile@{behind}")).await.expect("it is open");
        assert_eq!(
            (&blocked["state"], &blocked["behind"], &blocked["attempt"]),
            (&json!("blocked"), &json!(failing), &json!(0))
        );
        if !restarted {
            server.restart().await;
        }
    }
    let part = server.client.status("thing/1").await["parts"]["hostile"].clone();
    assert_eq!((&part["delivery"]["state"], &part["state"]), (&json!("retrying"), &json!("")));
    let filtered = server.client.get("/v1/deliveries?state=blocked&key=thing/1&limit=5").await.ok();
    assert_eq!(filtered["deliveries"].as_array().map(Vec::len), Some(1), "{filtered}");
    // Fewer attempts, from now on: it ends as a dead letter, and the deliveries behind it continue.
    manifest["retry"] = json!([]);
    server.client.redeploy(&manifest, &deployed["digest"]).await.ok();
    let part = server.client.reaches("thing/1", "hostile", "counted").await;
    assert_eq!(part["text"], "1 so far");
    server.client.drained(PATIENCE).await;
    let dead_letter = server.client.get(&format!("/v1/dead-letters/hostile@{failing}")).await.ok();
    assert_eq!((&dead_letter["class"], &dead_letter["message"]), (&json!("transient"), &json!("not now")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_can_be_opened_again_once_its_cause_is_gone() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("ledger", &["ledger.add"]);
    manifest["retry"][0]["attempts"] = 1.into();
    let deployed = server.client.deploy(&manifest, weirgate_guests::build("ledger")).await;
    let failing = event("ledger.add", "account/1", "1", &json!({ "n": 1, "failures": 3 }));
    let position = server.client.accept(failing).await;
    let id = format!("ledger@{position}");
    let dead = async |client: &Client| {
        eventually("a dead letter", PATIENCE, async || {
            let answer = client.get(&format!("/v1/dead-letters/{id}")).await;
            if answer.status == 200 { Ok(answer.json) } else { Err(answer.text) }
        })
        .await
    };
    assert_eq!(dead(&server.client).await["attempt"], 2);
    let part = server.client.status("account/1").await["parts"]["ledger"].clone();
    assert_eq!((&part["delivery"]["state"], &part["delivery"]["attempt"]), (&json!("dead-lettered"), &json!(2)));
    // Nothing has changed, so it fails again; its attempts are counted from zero.
    let resubmitted = server.client.post(&format!("/v1/dead-letters/{id}/resubmit")).await;
    assert_eq!((resubmitted.status, &resubmitted.json["id"]), (202, &json!(id)));
    server.client.drained(PATIENCE).await;
    assert_eq!(dead(&server.client).await["attempt"], 2);
    server.restart().await;
    assert_eq!(dead(&server.client).await["attempt"], 2, "a dead letter outlives a crash");
    manifest["retry"][0]["attempts"] = 4.into();
    server.client.redeploy(&manifest, &deployed["digest"]).await.ok();
    server.client.post(&format!("/v1/dead-letters/{id}/resubmit")).await.ok();
    let part = server.client.reaches("account/1", "ledger", "counted").await;
    assert_eq!((&part["data"]["count"], &part["delivery"]), (&json!(1), &Value::Null));
    server.client.post(&format!("/v1/dead-letters/{id}/resubmit")).await.is_problem(404, "not-a-dead-letter");
    assert_eq!(server.client.get("/v1/dead-letters").await.ok()["dead_letters"], json!([]));
}
