//! The shop in a real browser, on the real binary: orders are placed, and every step is pushed, through crashes of the server
//! and refreshes of the page. The journeys themselves are in `browser/`; `CHROMIUM` names the browser.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::Value;
use weirgate_tests::{Journey, Server, Setup, manifest, order_handlers, within};

const JOURNEY_PATIENCE: Duration = Duration::from_secs(150);

/// The shop as the demo starts it, except that its handlers work at once.
async fn shop() -> Server {
    shop_with_pace("0").await
}

async fn shop_with_pace(pace_ms: &str) -> Server {
    let dist = Journey::shop_files();
    let server = Setup::new().arg("--shop").arg(dist.to_str().expect("a path")).start().await;
    for (mut manifest, wasm) in order_handlers() {
        if manifest["config"]["pace_ms"].is_string() {
            manifest["config"]["pace_ms"] = pace_ms.into();
        }
        server.client.deploy(&manifest, wasm).await;
    }
    let stocktaking =
        std::fs::read(Journey::root().join("handlers/inventory/stocktaking.json")).expect("the stocktaking");
    server.client.publish(&serde_json::from_slice::<Vec<Value>>(&stocktaking).expect("events")).await.ok();
    server
}

/// Runs a journey. It may ask for the server to be killed, started or stopped.
async fn travel(journey: &str, server: &mut Server) {
    let mut journey = Journey::begin(journey, &server.url("/shop/"), &[]);
    while let Some(asked) = journey.asks().await {
        match asked.as_str() {
            "kill" => server.kill9(),
            "start" => drop(server.start().await),
            "stop" => drop(server.terminate().await),
            other => panic!("the journey asks for {other:?}"),
        }
        journey.answer().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_an_order_until_it_is_delivered() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("order.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_a_payment_outage_and_its_end() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("outage.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_corrects_the_payment_details() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("card.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_how_orders_end() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("ends.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sold_out_cannot_be_ordered() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("stock.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_panel_shows_what_is_pushed() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("panel.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_links_lead_to_pages_that_help() {
    let mut server = shop().await;
    within("the journey", JOURNEY_PATIENCE, travel("links.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_a_paced_order_are_shown_one_after_another() {
    let mut server = shop_with_pace("500").await;
    within("the journey", JOURNEY_PATIENCE, travel("pace.mjs", &mut server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_the_hook_and_the_element_follow_a_status_through_what_happens_to_a_page() {
    let pages = tempfile::tempdir().expect("a directory");
    std::fs::write(pages.path().join("index.html"), "<!doctype html><title>client</title>").expect("a page");
    let mut server = Setup::new().arg("--shop").arg(pages.path().to_str().expect("a path")).start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    within("the journey", JOURNEY_PATIENCE, travel("client.mjs", &mut server)).await;
}
