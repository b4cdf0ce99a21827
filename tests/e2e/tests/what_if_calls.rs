//! Calls of a what-if, and of its application, on the real binary: what the log has no answer for is called with consent only, each
//! answer is recorded and used again, and what an application calls is called once.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use serde_json::{Value, json};
use weirgate_tests::{
    Cli, Gateway,
    charges::{CHARGES, apply, approve, ask, charged, computed, id_of, mender, refusals, text_of},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_read_are_made_with_consent_and_their_answers_used_again() {
    let gateway = Gateway::start().await;
    let (mut server, digest) = charged(&gateway).await;
    server.client.redeploy(&mender(&gateway, "GET rate"), &digest).await.ok();
    let without = ask(&server.client, "fail").await;
    let found = &without["found"];
    assert_eq!(
        (&found["keys_failing"], &found["keys_needing_calls"]),
        (&json!(CHARGES), &json!(CHARGES)),
        "{without:#}"
    );
    assert_eq!(gateway.requests("/rate").len(), 0, "no consent, no call");

    gateway.answer(503);
    let failed = ask(&server.client, "call").await;
    assert_eq!(
        (&failed["found"]["keys_failing"], &failed["found"]["statuses"]),
        (&json!(CHARGES), &json!(0)),
        "{failed:#}"
    );
    let key = server.client.get(&format!("/v1/replays/{}/keys?key=charge/0", id_of(&failed))).await.ok();
    let reason = key["handlers"][0]["fails"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("GET http://") && reason.contains("was answered 503"), "{key:#}");
    // Once for the keys alone, and perhaps once more for the receivers of what they emit.
    let before = gateway.requests("/rate").len();
    assert!(before >= CHARGES, "{before}");

    gateway.answer(200);
    let asked = ask(&server.client, "call").await;
    let found = asked["found"].clone();
    assert_eq!((&found["keys_failing"], &found["planned_keys"]), (&json!(0), &json!(CHARGES)), "{asked:#}");
    let key = server.client.get(&format!("/v1/replays/{}/keys?key=charge/1", id_of(&asked))).await.ok();
    assert_eq!(key["handlers"][0]["made_calls"]["first"][0]["status"], 200, "{key:#}");
    let called = gateway.requests("/rate");
    assert_eq!(called.len(), before + CHARGES);
    assert!(called.iter().all(|request| request.header("authorization").is_empty()), "the call names no secret");

    // Computed again after a crash, and applied, it takes the recorded answers.
    gateway.answer(500);
    server.restart().await;
    let client = &server.client;
    let again = computed(client, id_of(&asked)).await;
    assert_eq!(again["found"], found);
    approve(client, &again, false).await;
    let applied = apply(client, &again).await;
    assert_eq!((&applied["state"], &applied["repaired"]), (&json!("applied"), &json!(CHARGES)), "{applied:#}");
    assert_eq!(text_of(client, 2).await, "2 with GET rate");
    assert_eq!(
        ask(client, "fail").await["found"]["planned_keys"],
        0,
        "the answers of an applied replay are recordings"
    );
    assert_eq!(gateway.requests("/rate").len(), before + CHARGES);
    assert_eq!((gateway.requests("/charge").len(), gateway.requests("/undo").len()), (CHARGES, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_makes_missing_calls_once_if_that_was_approved() {
    let gateway = Gateway::start().await;
    let (server, digest) = charged(&gateway).await;
    let (client, cli) = (&server.client, Cli::of(&server));
    client.redeploy(&mender(&gateway, "POST receipt"), &digest).await.ok();
    let asked = ask(client, "call").await;
    let found = &asked["found"];
    assert_eq!((&found["planned_keys"], &found["keys_needing_calls"]), (&json!(CHARGES), &json!(CHARGES)), "{asked:#}");
    let plan = cli.prints(&["replays", "plan", id_of(&asked)]);
    assert!(plan.contains("needs a call: ") && plan.contains("step receipt: POST http://"), "{plan}");
    let without_calls = json!({ "plan": found["plan"] });
    client.about_replay(id_of(&asked), "approve", &without_calls).await.is_problem(409, "no-key-can-be-repaired");
    assert_eq!(gateway.requests("/receipt").len(), 0, "consent in a what-if does not cover it");

    gateway.answer(503);
    approve(client, &asked, true).await;
    let refused = apply(client, &asked).await;
    let all = refusals(&refused);
    assert!(all.len() == CHARGES && all.iter().all(|reason| reason.contains("was answered 503")), "{refused:#}");
    gateway.answer(200);
    let applied = apply(client, &asked).await;
    assert_eq!((&applied["state"], &applied["repaired"]), (&json!("applied"), &json!(CHARGES)), "{applied:#}");
    assert_eq!(text_of(client, 1).await, "1 with POST receipt");
    let receipts = gateway.requests("/receipt");
    assert_eq!((receipts.len(), gateway.keys("/receipt")), (2 * CHARGES, CHARGES), "one key for each, at each try");
    let own = format!("/r{}/mender@", id_of(&asked));
    assert!(receipts.iter().all(|request| request.header("idempotency-key").contains(&own)), "{receipts:?}");
    assert!(gateway.requests("/charge").iter().all(|request| !request.header("idempotency-key").contains("/r")));
    assert_eq!(ask(client, "fail").await["found"]["planned_keys"], 0);

    // The undo hands the calls over to the handler, which takes each back.
    let why = json!({ "actor": "dora", "reason": "the receipts were right" });
    let undo = client.ask(&format!("/v1/replays/{}/undo", id_of(&asked)), &why).await;
    let undo = computed(client, id_of(&undo.json)).await;
    assert_eq!(undo["found"]["stays"], CHARGES, "{undo:#}");
    let approval = json!({ "plan": undo["found"]["plan"] });
    client.about_replay(id_of(&undo), "approve", &approval).await.ok();
    let undone = apply(client, &undo).await;
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(gateway.requests("/undo/receipt").len(), CHARGES);
    let timeline = client.get("/v1/timeline?limit=1000&key=charge/1").await.ok();
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let handed_over: Vec<_> = entries.filter(|entry| entry["is_undo"] == true && entry["has_event"] == true).collect();
    let [handed_over] = handed_over.as_slice() else { panic!("{timeline:#}") };
    let event = client.get(&format!("/v1/events/{}", handed_over["position"])).await.ok();
    assert_eq!(
        (&event["event"]["type"], &event["event"]["data"]["reason"], &handed_over["reason"]),
        (&json!("weirgate.key.repaired"), &why["reason"], &why["reason"]),
        "why it is undone: {event:#}"
    );
    assert_eq!(gateway.requests("/receipt").len(), 2 * CHARGES);
    assert_eq!(ask(client, "fail").await["found"]["keys_needing_calls"], CHARGES, "it stands as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_what_if_keep_to_what_was_approved_and_to_their_bound() {
    let gateway = Gateway::start().await;
    let (server, digest) = charged(&gateway).await;
    let client = &server.client;
    let mut wider = mender(&gateway, "GET rate");
    wider["capabilities"]["hosts"] = json!([gateway.url(), "https://elsewhere.example"]);
    let request = |manifest: &Value| json!({ "handler": "mender", "missing_answers": "call", "candidate": { "digest": digest, "manifest": manifest } });
    let refused = client.ask("/v1/replays", &request(&wider)).await;
    refused.is_problem(422, "bad-selection");
    assert!(refused.text.contains("elsewhere.example"), "{}", refused.text);
    // One that is not deployed may call what its handler may call.
    let mut bounded = request(&mender(&gateway, "GET rate"));
    bounded["bounds"] = json!({ "calls": 2 });
    let asked = client.ask("/v1/replays", &bounded).await.json;
    let asked = computed(client, id_of(&asked)).await;
    assert_eq!(asked["found"]["not_examined"]["limit"], "calls", "{asked:#}");
    assert_eq!(gateway.requests("/rate").len(), 2);
    let approval = json!({ "plan": asked["found"]["plan"] });
    let path = format!("/v1/replays/{}/approve", id_of(&asked));
    client.ask(&path, &approval).await.is_problem(409, "plan-not-whole");
}

/// A fix that takes fewer events would have made no call for the others: these calls are handed over, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_deliveries_that_the_fix_does_not_take_are_handed_over() {
    let gateway = Gateway::start().await;
    let (server, digest) = charged(&gateway).await;
    let client = &server.client;
    let mut fewer = mender(&gateway, "");
    fewer["subscriptions"][0]["source"] = json!("/elsewhere");
    client.redeploy(&fewer, &digest).await.ok();
    let asked = ask(client, "fail").await;
    assert_eq!(asked["found"]["planned_keys"], CHARGES, "{asked:#}");
    let key = client.get(&format!("/v1/replays/{}/keys?key=charge/1", id_of(&asked))).await.ok();
    let calls = key["handlers"][0]["unmade_calls"]["first"].as_array().expect("calls").iter();
    assert_eq!(calls.map(|call| &call["step"]).collect::<Vec<_>>(), ["charge", "confirm"], "{key:#}");
    approve(client, &asked, false).await;
    let applied = apply(client, &asked).await;
    assert_eq!(applied["state"], "applied", "{applied:#}");
    for step in ["charge", "confirm"] {
        assert_eq!(gateway.requests(&format!("/undo/{step}")).len(), CHARGES);
    }
    assert_eq!(ask(client, "fail").await["found"]["planned_keys"], 0, "they are taken back");
}

/// The status of a key whose repair needed a call is what its deliveries come to with the answer, also after that was undone once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_with_calls_is_applied_again_after_its_undo() {
    let gateway = Gateway::start().await;
    let (server, digest) = charged(&gateway).await;
    let client = &server.client;
    let mut with_receipts = mender(&gateway, "POST receipt");
    with_receipts["config"]["quiet"] = json!("true");
    client.redeploy(&with_receipts, &digest).await.ok();
    for receipts in [1, 2] {
        let asked = ask(client, "fail").await;
        approve(client, &asked, true).await;
        let applied = apply(client, &asked).await;
        assert_eq!((&applied["state"], &applied["repaired"]), (&json!("applied"), &json!(CHARGES)), "{applied:#}");
        assert_eq!(text_of(client, 2).await, "2 with POST receipt");
        assert_eq!(gateway.requests("/receipt").len(), receipts * CHARGES, "each application makes its own");
        let undo = client.undo_replay(id_of(&asked)).await;
        approve(client, &undo, false).await;
        let undone = apply(client, &undo).await;
        assert_eq!(undone["state"], "undone", "{undone:#}");
    }
}
