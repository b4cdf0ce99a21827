//! The shop in a real browser, on the real binary: an order is placed, and every step is pushed, through a crash of the
//! server and a refresh of the page. The journeys themselves are in `browser/`; `CHROMIUM` names the browser.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};
use weirgate_tests::{Server, Setup, order_handlers, within};

const JOURNEY_PATIENCE: Duration = Duration::from_secs(150);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

async fn shop() -> Server {
    let dist = root().join("web/storefront/dist");
    assert!(dist.join("index.html").exists(), "the shop is not built: npm ci && npm run build, in web/");
    let server = Setup::new().arg("--shop").arg(dist.to_str().expect("a path")).start().await;
    for (manifest, wasm) in order_handlers() {
        server.client.deploy(&manifest, wasm).await;
    }
    server
}

/// Runs a journey. By a line on its output it may request to kill or start the server, or to drain handlers, and gets an
/// answer.
async fn travel(journey: &str, server: &mut Server) {
    let mut command = Command::new("node");
    command.arg(root().join("tests/e2e/browser").join(journey)).arg(server.url("/shop/"));
    command.current_dir(root().join("web")).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("node runs");
    let mut asks = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut answers = child.stdin.take().expect("its input");
    while let Some(line) = asks.next_line().await.expect("a line") {
        match line.as_str() {
            "ask kill" => server.kill9(),
            "ask start" => drop(server.start().await),
            other => {
                println!("{journey}: {other}");
                continue;
            }
        }
        answers.write_all(b"done\n").await.expect("it listens");
    }
    let status = child.wait().await.expect("its end");
    assert!(status.success(), "{journey} failed: {status}");
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
