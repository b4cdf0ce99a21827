//! Queries beside the writer: lists that scan many deliveries answer in pages, and a page ends when it has scanned enough.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use serde_json::{Value, json};
use weirgate_tests::{Cli, Client, Setup, event, eventually, manifest};

/// Paused handlers: together they hold more open deliveries than one page scans.
const HANDLERS: [&str; 3] = ["one", "three", "two"];
/// More than each of them holds; it would scan the rest later.
const EVENTS: usize = 5_000;
const AT_ONCE: usize = 1_000;

async fn published(client: &Client, count: usize) {
    let events: Vec<_> =
        (0..count).map(|n| event("ledger.add", &format!("k/{n}"), &n.to_string(), &json!({ "n": 1 }))).collect();
    for events in events.chunks(AT_ONCE) {
        client.publish(events).await.ok();
    }
}

/// All pages of a list, each with its number of entries.
async fn pages(client: &Client, query: &str) -> (Vec<usize>, Vec<Value>) {
    let (mut sizes, mut items, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/deliveries?{query}{after}")).await.ok();
        let deliveries = page["deliveries"].as_array().cloned().expect("a list");
        sizes.push(deliveries.len());
        items.extend(deliveries);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (sizes, items),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sparse_list_ends_its_pages_early_and_continues() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("ledger")).await.ok()["digest"].clone();
    for name in HANDLERS {
        client.redeploy(&manifest(name, &["ledger.add"]), &digest).await.ok();
        client.post(&format!("/v1/handlers/{name}/pause")).await.ok();
    }
    published(client, EVENTS).await;
    let mut open = 0;
    for name in HANDLERS {
        open += client.handler(name).await["open"].as_u64().expect("how many are open");
    }
    assert!(open > 10_000, "{open} open");
    let (sizes, items) = pages(client, "key=nosuch").await;
    assert!(items.is_empty() && sizes.len() > 1, "{open} open, pages: {sizes:?}");
    let (sizes, items) = pages(client, "state=ready&limit=1000").await;
    assert_eq!(items.len() as u64, open, "{sizes:?}");
    let mut ids: Vec<_> = items.iter().map(|item| item["id"].to_string()).collect();
    ids.dedup();
    assert_eq!(ids.len(), items.len(), "each once");
    let (_, found) = pages(client, "key=k/7").await;
    assert_eq!(found.len(), HANDLERS.len());
    for state in ["running", "retrying", "blocked", "awaiting-correction", "held", "out-of-order"] {
        assert!(pages(client, &format!("state={state}")).await.1.is_empty(), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_beyond_the_waiting_limit_are_refused_and_events_are_accepted() {
    let server = Setup::new().start().await;
    let client = &server.client;
    client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    client.post("/v1/handlers/ledger/pause").await.ok();
    published(client, 4_000).await;
    let lists = (0..200).map(|_| async { client.get("/v1/deliveries?key=nosuch").await });
    let (answers, published) = tokio::join!(
        futures_util::future::join_all(lists),
        client.accept(event("ledger.add", "k/0", "late", &json!({ "n": 2 })))
    );
    assert!(published > 4_000);
    for answer in &answers {
        match answer.status {
            200 => assert_eq!(answer.json["deliveries"], json!([])),
            _ => {
                answer.is_problem(503, "too-many-queries");
                assert_eq!(answer.header("retry-after"), "1");
            }
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_blocked_keys_says_that_it_is_not_complete() {
    const EXAMINED_MAX: usize = 100_000;
    let server = Setup::new().start().await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let mut all = manifest("all", &["mend.work"]);
    all["retry"] = json!([]);
    client.deploy(&all, weirgate_guests::build("mender")).await;
    client.deploy(&manifest("some", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    let failing = event("ledger.add", "account/1", "a", &json!({ "n": 1, "failures": 999 }));
    client.publish(&[failing, event("ledger.add", "account/1", "b", &json!({ "n": 1 }))]).await.ok();
    let work = |id: usize| {
        let data = json!({ "n": 1, "fail": (id == 0).then_some("correctable") });
        event("mend.work", "order/1", &id.to_string(), &data)
    };
    let ids: Vec<_> = (0..EXAMINED_MAX).collect();
    for ids in ids.chunks(AT_ONCE) {
        client.publish(&ids.iter().map(|id| work(*id)).collect::<Vec<_>>()).await.ok();
    }
    let blocked = async |query: &str, behind: usize| {
        eventually("all to wait", std::time::Duration::from_secs(60), async || {
            let list = client.get(&format!("/v1/blocked?limit=1{query}")).await.ok();
            if list["blocked"][0]["behind"] == json!(behind) { Ok(list) } else { Err(list) }
        })
        .await
    };
    // At the limit it is complete for the handler, and one over for all.
    let exact = blocked("&handler=all", EXAMINED_MAX - 1).await;
    assert_eq!((&exact["examined"], &exact["complete"]), (&json!(EXAMINED_MAX), &json!(true)));
    let over = blocked("", EXAMINED_MAX - 1).await;
    assert_eq!((&over["examined"], &over["complete"]), (&json!(EXAMINED_MAX), &json!(false)));
    assert!(over["next"].is_null(), "{over}");
    let some = blocked("&handler=some", 1).await;
    assert_eq!((&some["examined"], &some["complete"]), (&json!(2), &json!(true)));
    let said = String::from_utf8(cli.run(&["deliveries", "blocked"]).stdout).expect("UTF-8");
    assert!(said.contains("only the first 100000 open deliveries were examined"), "{said}");
    let said = String::from_utf8(cli.run(&["deliveries", "blocked", "--handler", "some"]).stdout).expect("UTF-8");
    assert!(!said.contains("examined"), "{said}");
}
