//! Attempts of the log, executed again: verified as a whole, and out of bundles in a directory of their own.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use weirgate_sdk::{Context, Event, testing::Recorded};
use weirgate_tests::{Gateway, Server, Setup, binary, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
const BUNDLES: usize = 50;
const SECRET: &str = "sk_live_4242";

/// What a command for a stopped server prints, and whether it succeeds.
fn replays(args: &[&str]) -> (Value, bool) {
    let output =
        Command::new(binary()).args(["--output", "json", "replays"]).args(args).output().expect("the program runs");
    let printed = serde_json::from_slice(&output.stdout);
    (
        printed.unwrap_or_else(|_| panic!("{args:?}: {}", String::from_utf8_lossy(&output.stderr))),
        output.status.success(),
    )
}

fn failed(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary()).arg("replays").args(args).output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// A server whose handlers had steps that failed and were finished, timers, corrections, batches, traps and retries; stopped.
async fn eventful() -> Server {
    let gateway = Gateway::start().await;
    let mut server = Setup::new()
        .env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host())
        .env("WEIRGATE__SECRETS__GATEWAY", SECRET)
        .env("WEIRGATE__SECRETS__GATEWAY__HANDLERS", "mender")
        .env("WEIRGATE__SECRETS__GATEWAY__HOSTS", gateway.url())
        .expect_line("trapped or exceeded a limit")
        .start()
        .await;
    let mut mender = manifest("mender", &["mend.*"]);
    mender["capabilities"] = json!({ "hosts": [gateway.url()], "secrets": ["gateway"] });
    mender["config"] = json!({ "gateway_url": gateway.url() });
    server.client.deploy(&mender, weirgate_guests::build("mender")).await;
    let mut meters = manifest("meters", &["meter.read"]);
    meters["batch"] = json!({ "events_max": 16 });
    gateway.answer(503);
    for n in 0..8 {
        let charge = event("mend.charge", &format!("charge/{n}"), &format!("c-{n}"), &json!({ "amount": n }));
        server.client.accept(charge).await;
        let work = json!({ "n": n, "fail": (n % 4 == 1).then_some("correctable"), "name": "Ada Lovelace" });
        server.client.accept(event("mend.work", &format!("order/{n}"), &format!("w-{n}"), &work)).await;
        server.client.accept(event("mend.wait", &format!("wait/{n}"), &format!("t-{n}"), &json!({ "ms": 20 }))).await;
    }
    let trap = json!({ "n": 1, "fail": "trap" });
    let trapped = server.client.accept(event("mend.work", "order/trap", "trap", &trap)).await;
    let readings: Vec<_> = (0..64)
        .map(|n| event("meter.read", &format!("meter/{}", n % 5), &format!("m-{n}"), &json!({ "watts": n % 7 })))
        .collect();
    server.client.publish(&readings).await.ok();
    server.client.deploy(&meters, weirgate_guests::build("meters")).await;
    eventually("a call to fail", PATIENCE, async || {
        let asked = gateway.requests("/charge").len();
        if asked >= 9 { Ok(()) } else { Err(asked) }
    })
    .await;
    gateway.answer(200);
    let awaiting = server.client.get("/v1/deliveries?state=awaiting-correction").await.ok();
    for delivery in awaiting["deliveries"].as_array().expect("a list") {
        let id = delivery["id"].as_str().expect("an id");
        let fix = json!({ "actor": "ada", "reason": "seen to", "patch": { "fail": null } });
        server.client.ask(&format!("/v1/deliveries/{id}/correct"), &fix).await.ok();
    }
    let give_up = json!({ "actor": "ada", "reason": "it traps" });
    eventually("the trapping delivery to be skipped", PATIENCE, async || {
        let answer = server.client.ask(&format!("/v1/deliveries/mender@{trapped}/skip"), &give_up).await;
        if answer.status == 202 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    server.client.drained(PATIENCE).await;
    assert!(server.terminate().await.success());
    server
}

/// Every third attempt or so, over all handlers.
fn some_deliveries(verified: &Value, server: &Server) -> Vec<String> {
    let executed = verified["executed"].as_u64().expect("a number");
    assert!(executed > 100, "{verified}");
    let head = 400_u64;
    let all = (1..=head).flat_map(|position| [format!("mender@{position}"), format!("meters@{position}")]);
    let file = server.dir.with_file_name("probe.bundle");
    let exists = all.filter(|delivery| {
        let _ = std::fs::remove_file(&file);
        let args = ["bundle", delivery, "--data", text(&server.dir), "--file", text(&file)];
        let output = Command::new(binary()).arg("replays").args(args).output().expect("the program runs");
        output.status.success()
    });
    exists.take(BUNDLES).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_attempts_come_to_the_same_result_also_out_of_bundles() {
    let server = eventful().await;
    let data = text(&server.dir).to_owned();
    let (verified, is_same) = replays(&["verify", "--data", &data]);
    assert!(is_same && verified["different"] == 0, "{verified:#}");
    let (none, _) = replays(&["verify", "--data", &data, "--after", "1000000"]);
    assert_eq!(none["executed"], 0);
    let deliveries = some_deliveries(&verified, &server);
    assert_eq!(deliveries.len(), BUNDLES);
    let dir = tempfile::tempdir().expect("a directory");
    let mut steps = 0;
    for (n, delivery) in deliveries.iter().enumerate() {
        let file = dir.path().join(format!("{n}.bundle"));
        replays(&["bundle", delivery, "--data", &data, "--file", text(&file)]);
        let (ran, is_same) = replays(&["run", text(&file)]);
        assert!(is_same && ran["different"] == 0, "{delivery}: {ran:#}");
        let attempts = ran["attempts"].as_array().expect("a list");
        assert!(attempts.iter().any(|attempt| attempt["delivery"] == **delivery), "{delivery}: {ran:#}");
        let bytes = std::fs::read(&file).expect("the bundle");
        assert!(!contains(&bytes, SECRET), "a secret is in the bundle of {delivery}");
        steps += usize::from(contains(&bytes, "/charge"));
    }
    assert!(steps > 0, "none of them made a call");
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_shows_what_differs_and_a_mask_hides_members() {
    let mut server = Setup::new().start().await;
    server.client.deploy(&manifest("mender", &["mend.work"]), weirgate_guests::build("mender")).await;
    let work = json!({ "n": 3, "name": "Ada Lovelace" });
    let position = server.client.accept(event("mend.work", "order/1", "1", &work)).await;
    server.client.drained(PATIENCE).await;
    assert!(server.terminate().await.success());
    let (delivery, data) = (format!("mender@{position}"), text(&server.dir).to_owned());
    let dir = tempfile::tempdir().expect("a directory");
    let (file, masked, other) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("ledger.wasm"));
    replays(&["bundle", &delivery, "--data", &data, "--file", text(&file)]);
    std::fs::write(&other, weirgate_guests::build("ledger")).expect("written");
    let (ran, is_same) = replays(&["run", text(&file), "--candidate", text(&other)]);
    assert!(!is_same && ran["different"] == 1, "{ran:#}");
    assert_eq!(ran["attempts"][0]["parts"][0]["recorded"], "completed", "{ran:#}");
    replays(&["bundle", &delivery, "--data", &data, "--file", text(&masked), "--mask", "/name", "--mask", "/absent"]);
    let (ran, is_same) = replays(&["run", text(&masked)]);
    assert!(is_same, "{ran:#}");
    let holds = |path: &Path| contains(&std::fs::read(path).expect("the bundle"), "Ada Lovelace");
    assert_eq!((holds(&file), holds(&masked)), (true, false));
}

/// What a server recorded are tests of the handler: they hold for it, and show where another one differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_deliveries_are_tests_of_the_handler() {
    let server = eventful().await;
    let data = text(&server.dir).to_owned();
    let dir = tempfile::tempdir().expect("a directory");
    let recorded = dir.path().join("tests/recorded");
    let (verified, _) = replays(&["verify", "--data", &data]);
    let deliveries = some_deliveries(&verified, &server);
    let (before, after) = (["export", "--data", &data], ["--as-tests", text(&recorded)]);
    let args: Vec<&str> = before.into_iter().chain(after).chain(deliveries.iter().map(String::as_str)).collect();
    let (exported, is_done) = replays(&args);
    let written = exported["fixtures"].as_u64().expect("a number");
    assert!(is_done && written > 20 && exported["attempts"].as_u64() > Some(written), "{exported}");
    let all = Recorded::all(&recorded);
    assert_eq!(all.len() as u64, written);
    let (mut called, mut failed) = (0, 0);
    for recorded in &all {
        recorded.check(mender::handle);
        let run = recorded.delivery().run(mender::handle);
        called += usize::from(!run.asked().is_empty());
        failed += usize::from(run.result().is_err());
    }
    assert!(called > 0 && failed > 0, "{called} made calls, {failed} failed");
    let lazy = |_: Event<mender::Incoming>, _: &mut Context| Ok(());
    let differs = |recorded: &Recorded| std::panic::catch_unwind(|| recorded.check(lazy)).is_err();
    let different = all.iter().filter(|recorded| differs(recorded)).count();
    assert!(
        different > all.len() / 2,
        "a handler that does nothing comes to something else: {different} of {}",
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bundles_and_deliveries_are_refused() {
    let mut server = Setup::new().start().await;
    let data = text(&server.dir).to_owned();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a");
    let (code, says) = failed(&["verify", "--data", &data]);
    assert!(code == Some(1) && says.contains("stop the server first"), "{says}");
    assert!(server.terminate().await.success());
    let (code, says) = failed(&["bundle", "mender@7", "--data", &data, "--file", text(&file)]);
    assert!(code == Some(4) && says.contains("no reproducible attempt"), "{says}");
    assert!(!file.exists());
    let (code, says) = failed(&["bundle", "mender", "--data", &data, "--file", text(&file)]);
    assert!(code == Some(2), "{says}");
    let (code, says) = failed(&["verify", "--data", text(dir.path())]);
    assert!(code == Some(4) && says.contains("there is no log in"), "{says}");
    for (bytes, says) in [
        (Vec::new(), "it is no bundle"),
        (b"PK\x03\x04".to_vec(), "it is no bundle"),
        (b"WEIRBNDL\x09\0\0\0".to_vec(), "format version 9"),
        ([b"WEIRBNDL\x02\0\0\0".as_slice(), &[7; 64]].concat(), "damaged"),
    ] {
        std::fs::write(&file, bytes).expect("written");
        let (code, said) = failed(&["run", text(&file)]);
        assert!(code == Some(2) && said.contains(says), "{said}");
    }
    let (code, said) = failed(&["run", text(&dir.path().join("missing"))]);
    assert!(code == Some(2) && said.contains("cannot read"), "{said}");
}
