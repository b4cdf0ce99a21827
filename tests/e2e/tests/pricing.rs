//! A pricing bug, end to end in a real browser: three orders of fifty were charged too much, one of them is delivered already. The fix is
//! deployed, the differences are looked at and applied: those three pages correct themselves, the payment handler refunds the
//! excess through its gateway, and the other orders get nothing. The pages are in `browser/pricing.mjs`.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};
use weirgate_tests::{Client, Gateway, Journey, Live, Server, Setup, eventually, order_handlers, placed, within};

const PATIENCE: Duration = Duration::from_mins(1);
const JOURNEY_PATIENCE: Duration = Duration::from_secs(240);
const ORDERS: usize = 50;
/// The orders whose cards got the fee, as the version with the bug has it. The first is delivered all the same.
const WRONG: [usize; 3] = [7, 23, 41];
const PRICE_CENTS: u64 = 1_490;
const CHARGED_CENTS: u64 = 1_519;

fn key(order: usize) -> String {
    format!("order/o-{order}")
}

fn others() -> impl Iterator<Item = usize> {
    (0..ORDERS).filter(|order| !WRONG.contains(order))
}

/// The shop with a payment service that the test watches, and the version of the payment handler that has the bug.
async fn shop(gateway: &Gateway) -> (Server, Value, Vec<u8>) {
    let file = tempfile::tempdir().expect("a directory").keep().join("weirgate.toml");
    let text = format!(
        "[outbound]\nallow_private = [\"{}\"]\n[secrets.payment-gateway]\nhandlers = [\"payment\"]\nhosts = [\"{}\"]\nvalue = \"top-secret\"\n",
        gateway.host(),
        gateway.url()
    );
    std::fs::write(&file, text).expect("a configuration");
    let [config, shop] = [file, Journey::shop_files()].map(|path| path.to_string_lossy().into_owned());
    let server = Setup::new().arg("--config").arg(config).arg("--shop").arg(shop).start().await;
    let mut payment = None;
    for (mut manifest, wasm) in order_handlers() {
        if manifest["name"] == "payment" {
            manifest["config"] = json!({ "gateway": "http", "gateway_url": gateway.url(), "pace_ms": "0" });
            // A refund waits for a moment in which the pages are looked at.
            manifest["limits"] = json!({ "wall_ms": 20_000 });
            manifest["capabilities"] = json!({ "hosts": [gateway.url()], "secrets": ["payment-gateway"] });
            server.client.deploy(&manifest, weirgate_guests::build("overcharging")).await;
            payment = Some((manifest, wasm));
        } else {
            server.client.deploy(&manifest, wasm).await;
        }
    }
    let (manifest, fixed) = payment.expect("the payment handler");
    (server, manifest, fixed)
}

/// Places all orders. Those that were charged too much wait for their invoice, which does not fit, and support lets one of them through.
async fn trade(client: &Client) {
    let events: Vec<_> = (0..ORDERS)
        .map(|order| {
            let card = if WRONG.contains(&order) { "5555555555554444" } else { "4242424242424242" };
            placed(&format!("o-{order}"), &[("coffee-beans", PRICE_CENTS)], card)
        })
        .collect();
    client.publish(&events).await.ok();
    for order in others() {
        client.reaches(&key(order), "order", "completed").await;
    }
    correct_invoice(client, WRONG[0]).await;
    client.reaches(&key(WRONG[0]), "order", "completed").await;
}

/// Support gives an invoice the right amount.
async fn correct_invoice(client: &Client, order: usize) {
    let path = format!("/v1/deliveries?handler=invoice&state=awaiting-correction&key={}", key(order));
    let id = eventually("the invoice to wait for a correction", PATIENCE, async || {
        let listed = client.get(&path).await.ok();
        listed["deliveries"][0]["id"].as_str().map(str::to_owned).ok_or(listed)
    })
    .await;
    let correction = json!({ "actor": "ada", "reason": "the price", "patch": { "total_cents": PRICE_CENTS } });
    client.ask(&format!("/v1/deliveries/{id}/correct"), &correction).await.ok();
}

/// What the customers get whose orders are right, on a connection each.
struct Others {
    connections: JoinSet<(String, Vec<Value>)>,
    end: watch::Sender<bool>,
}

impl Others {
    /// Watches each order, from all that there is to know on.
    async fn watch(server: &Server) -> Self {
        let (mut connections, end) = (JoinSet::new(), watch::Sender::new(false));
        for order in others() {
            let (mut live, subject) = (Live::connect(&server.url("")).await, key(order));
            live.subscribe(&[&subject]).await;
            let snapshot = live.receive().await;
            assert_eq!((&snapshot["type"], &snapshot["subject"]), (&json!("snapshot"), &json!(subject)));
            let mut end = end.subscribe();
            connections.spawn(async move {
                let mut frames = Vec::new();
                loop {
                    tokio::select! {
                        frame = live.frame() => frames.push(frame.expect("the connection is open")),
                        _ = end.changed() => break,
                    }
                }
                // The answer to another subscription comes after all that came before.
                live.subscribe(&[&key(WRONG[0])]).await;
                loop {
                    match live.receive().await {
                        frame if frame["subject"] == key(WRONG[0]) => return (subject, frames),
                        frame => frames.push(frame),
                    }
                }
            });
        }
        Self { connections, end }
    }

    /// Each has got nothing.
    async fn got_nothing(self) {
        self.end.send(true).expect("they listen");
        for (subject, frames) in self.connections.join_all().await {
            assert!(frames.is_empty(), "{subject} got {frames:?}");
        }
    }
}

/// Deploys the fix, looks at what it changes, and applies it. Returns the plan's keys.
async fn repair(client: &Client, manifest: &Value, fixed: Vec<u8>) -> BTreeSet<String> {
    client.deploy(manifest, fixed).await;
    let request =
        json!({ "handler": "payment", "missing_answers": "last", "actor": "ada", "reason": "a fee that is not ours" });
    let asked = client.ask("/v1/replays", &request).await.ok();
    let path = format!("/v1/replays/{}", asked["id"].as_str().expect("an id"));
    let state = async |wanted: &str| {
        eventually(&format!("the replay to be {wanted}"), PATIENCE, async || {
            let replay = client.get(&path).await.ok();
            if replay["state"] == wanted { Ok(replay) } else { Err(replay) }
        })
        .await
    };
    let found = state("ready").await["found"].clone();
    assert_eq!(
        (&found["keys"], &found["planned_keys"], &found["keys_failing"]),
        (&json!(3), &json!(3), &json!(0)),
        "{found:#}"
    );
    let plan = client.get(&format!("{path}/plan")).await.ok();
    let keys = plan["keys"].as_array().expect("keys").iter().map(|one| one["key"].as_str().expect("a key").to_owned());
    let approval = json!({ "plan": plan["plan"], "actor": "ada", "reason": "a fee that is not ours" });
    client.ask(&format!("{path}/approve"), &approval).await.ok();
    client.ask(&format!("{path}/apply"), &json!({ "actor": "ada", "reason": "a fee that is not ours" })).await.ok();
    let done = state("applied").await;
    assert_eq!(done["repaired"], 3, "{done:#}");
    keys.collect()
}

/// The excess was paid back, once for each of the three, by the reference of its charge; nothing was charged again.
fn check_gateway(gateway: &Gateway) {
    assert_eq!((gateway.requests("/charges").len(), gateway.keys("/charges")), (ORDERS, ORDERS));
    let refunds = gateway.requests("/refunds");
    assert_eq!(gateway.keys("/refunds"), 3, "{refunds:?}");
    let charged = |order: &Value| {
        let charges = gateway.requests("/charges").into_iter();
        let mut of_order =
            charges.filter(|charge| serde_json::from_str::<Value>(&charge.body).expect("JSON")["order"] == *order);
        of_order.next().map(|charge| charge.header("idempotency-key").to_owned()).expect("a charge")
    };
    let mut orders = BTreeSet::new();
    for refund in &refunds {
        let body: Value = serde_json::from_str(&refund.body).expect("JSON");
        let expected = (json!(CHARGED_CENTS - PRICE_CENTS), json!(charged(&body["order"])));
        assert_eq!((&body["amount_cents"], &body["reference"]), (&expected.0, &expected.1), "{body}");
        orders.insert(body["order"].as_str().expect("an order").to_owned());
    }
    assert_eq!(orders, WRONG.map(|order| format!("o-{order}")).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_orders_of_fifty_are_corrected_on_their_pages() {
    let gateway = Gateway::start().await;
    let (server, manifest, fixed) = shop(&gateway).await;
    let client = &server.client;
    trade(client).await;
    let others = Others::watch(&server).await;
    let before = client.status(&key(0)).await;

    let orders = WRONG.map(|order| format!("o-{order}"));
    let arguments: Vec<_> = orders.iter().map(String::as_str).collect();
    let mut journey = Journey::begin("pricing.mjs", &server.url("/shop/"), &arguments);
    let walk = async {
        while let Some(asked) = journey.asks().await {
            match asked.as_str() {
                "repair" => {
                    // The pages show the correction before the refund.
                    gateway.hold(Some("/refunds"));
                    let keys = repair(client, &manifest, fixed.clone()).await;
                    assert_eq!(keys, WRONG.map(key).into());
                }
                "refund" => gateway.hold(None),
                "correct" => {
                    correct_invoice(client, WRONG[1]).await;
                    correct_invoice(client, WRONG[2]).await;
                }
                other => panic!("the journey asks for {other:?}"),
            }
            journey.answer().await;
        }
    };
    within("the journey", JOURNEY_PATIENCE, walk).await;
    client.drained(PATIENCE).await;
    check_gateway(&gateway);
    others.got_nothing().await;
    assert_eq!(client.status(&key(0)).await, before);
    let refunded = client.events_of("payment.refunded").await;
    let of: BTreeSet<_> =
        refunded.iter().map(|event| event["data"]["order"].as_str().expect("an order").to_owned()).collect();
    assert_eq!((refunded.len(), of), (3, orders.clone().into()));
    let again = client.ask("/v1/replays", &json!({ "handler": "payment", "missing_answers": "last" })).await.ok();
    let path = format!("/v1/replays/{}", again["id"].as_str().expect("an id"));
    let found = eventually("the second what-if", PATIENCE, async || {
        let replay = client.get(&path).await.ok();
        if replay["found"].is_object() { Ok(replay["found"].clone()) } else { Err(replay) }
    })
    .await;
    assert_eq!(
        (&found["planned_keys"], &found["events"]),
        (&json!(0), &json!(0)),
        "nothing is left to repair: {found:#}"
    );
}
