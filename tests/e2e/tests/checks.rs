//! The check before a deployment on the real binary: what a version may do, and what recorded attempts would come to. Verification of a
//! running server.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Cli, Server, Setup, binary, event, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn work(n: u64) -> Value {
    event("mend.work", &format!("order/{}", n % 3), &format!("w-{n}"), &json!({ "n": n, "name": "Ada" }))
}

/// A server with some finished deliveries of `mender`, and the digest of its module.
async fn worked(events: u64) -> (Server, Value) {
    let server = Setup::new().start().await;
    let client = &server.client;
    let deployed = client.deploy(&manifest("mender", &["mend.work"]), weirgate_guests::build("mender")).await;
    for n in 0..events {
        client.accept(work(n)).await;
    }
    client.drained(PATIENCE).await;
    let digest = deployed["digest"].clone();
    (server, digest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_may_do_more_is_deployed_when_exactly_that_is_approved() {
    let (server, digest) = worked(1).await;
    let (client, mut wider) = (&server.client, manifest("mender", &["mend.*"]));
    let refused = client.put_version(&wider, &digest, "").await;
    refused.is_problem(409, "needs-approval");
    let grown = json!([{ "capability": "subscriptions", "after": "mend.*", "grows": true }]);
    assert_eq!(refused.json["growth"]["capabilities"], grown, "{}", refused.text);
    let approve = refused.json["growth"]["approve"].as_str().expect("a digest").to_owned();
    let plan = client.put_version(&wider, &digest, "?plan=true&sample=0").await.ok();
    assert_eq!((&plan["approve"], &plan["replaces"], &plan["check"]), (&json!(approve), &json!(1), &Value::Null));
    assert_eq!(client.handler("mender").await["version"], 1, "a plan does nothing");
    // It approves nothing else.
    wider["concurrency"] = json!(100);
    client.put_version(&wider, &digest, &format!("?approve={approve}")).await.is_problem(409, "needs-approval");
    wider["concurrency"] = json!(2);
    let put = client.put_version(&wider, &digest, &format!("?approve={approve}")).await.ok();
    assert_eq!((&put["version"], &put["state"]), (&json!(2), &json!("running")));
    // Less needs no approval, and going back to more does.
    let mut narrower = manifest("mender", &["mend.wait"]);
    narrower["concurrency"] = json!(1);
    client.put_version(&narrower, &digest, "").await.ok();
    let back = client.ask("/v1/handlers/mender/rollback", &json!({})).await;
    back.is_problem(409, "needs-approval");
    let plan = client.ask("/v1/handlers/mender/rollback", &json!({ "plan": true })).await.ok();
    assert_eq!(plan["approve"], back.json["growth"]["approve"]);
    client.ask("/v1/handlers/mender/rollback", &json!({ "approve": plan["approve"] })).await.ok();
    for (parameters, status, code) in [
        ("?plan=true&sample=1001", 400, "bad-query"),
        ("?plan=true&sample=-1", 400, "bad-query"),
        ("?approve=abc", 400, "bad-id"),
        ("?plan=perhaps", 400, "bad-query"),
    ] {
        client.put_version(&wider, &digest, parameters).await.is_problem(status, code);
    }
    wider["limits"] = json!({ "cpu_ms": 0 });
    client.put_version(&wider, &digest, "?plan=true").await.is_problem(422, "bad-manifest");
    let unknown = json!(format!("sha256:{}", "0".repeat(64)));
    client
        .put_version(&manifest("mender", &["mend.*"]), &unknown, "?plan=true")
        .await
        .is_problem(404, "module-missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_attempts_run_again_under_a_candidate() {
    let (server, digest) = worked(8).await;
    let client = &server.client;
    let mut same = manifest("mender", &["mend.work", "mend.other"]);
    same["config"] = json!({ "colour": "red" });
    let plan = client.put_version(&same, &digest, "?plan=true").await.ok();
    let check = &plan["check"];
    assert_eq!(
        (&check["executed"], &check["different"], &check["is_cut"]),
        (&json!(8), &json!(0), &json!(false)),
        "{plan:#}"
    );
    assert_eq!(check["not_covered"], json!(["mend.other"]));
    let part = client.put_version(&same, &digest, "?plan=true&sample=3").await.ok();
    assert_eq!(part["check"]["executed"], 3, "{part:#}");
    let other = client.upload(weirgate_guests::build("ledger")).await.ok()["digest"].clone();
    let plan = client.put_version(&manifest("mender", &["mend.work"]), &other, "?plan=true").await.ok();
    let check = &plan["check"];
    assert_eq!((&check["executed"], &check["different"]), (&json!(8), &json!(8)), "{plan:#}");
    let newest = &check["differences"][0];
    assert!(newest["delivery"].as_str().is_some_and(|id| id.starts_with("mender@")), "{plan:#}");
    assert!(newest["parts"][0]["recorded"] != newest["parts"][0]["now"], "{plan:#}");
    // The server has gone on, and nothing of the candidate is left.
    assert_eq!(client.handler("mender").await["version"], 1);
    let first = client.put_version(&manifest("novice", &["mend.work"]), &digest, "?plan=true").await.ok();
    assert_eq!((&first["capabilities"], &first["check"]), (&json!([]), &Value::Null), "{first:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_plans_asks_and_approves() {
    let (server, _) = worked(4).await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    std::fs::write(dir.path().join("mender.wasm"), weirgate_guests::build("mender")).expect("written");
    let path = dir.path().join("handler.toml");
    let text =
        "name = \"mender\"\nmodule = \"mender.wasm\"\nconcurrency = 100\n[[subscriptions]]\ntypes = [\"mend.work\"]\n";
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("text");
    let plan = cli.prints(&["handlers", "deploy", path, "--plan"]);
    assert!(plan.contains("may do more: concurrency") && plan.contains("executed again: 4; different: 0"), "{plan}");
    let refused = cli.fails(&["handlers", "deploy", path]);
    assert!(refused.iter().any(|line| line.contains("add --yes")), "{refused:?}");
    assert_eq!(server.client.handler("mender").await["version"], 1);
    let approved = cli.run(&["handlers", "deploy", path, "--yes"]);
    let says = String::from_utf8_lossy(&approved.stderr);
    assert!(approved.status.success() && says.contains("may do more: concurrency 64 -> 100"), "{approved:?}");
    assert_eq!(server.client.handler("mender").await["version"], 2);
}

/// What a verification of a stopped server counts.
fn offline(data: &Path, after: u64, through: u64) -> [u64; 3] {
    let range = [after.to_string(), through.to_string()];
    let args = ["--output", "json", "replays", "verify", "--after", &range[0], "--through", &range[1], "--data"];
    let output = Command::new(binary()).args(args).arg(data).output().expect("the program runs");
    counts(&serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn counts(verified: &Value) -> [u64; 3] {
    ["executed", "not_reproducible", "different"].map(|name| verified[name].as_u64().expect(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_verifies_any_part_of_its_log() {
    let (mut server, _) = worked(20).await;
    let whole = server.client.ask("/v1/replays/verify", &json!({})).await.ok();
    assert_eq!((counts(&whole), &whole["next"]), ([20, 0, 0], &Value::Null), "{whole:#}");
    let through = whole["through"].as_u64().expect("a position");
    let mut parts = Vec::new();
    for at in [0, 1, through / 3, through / 2, through - 1, through, through + 100] {
        let after = server.client.ask("/v1/replays/verify", &json!({ "after": at })).await.ok();
        let before = server.client.ask("/v1/replays/verify", &json!({ "through": at })).await.ok();
        let (after, before) = (counts(&after), counts(&before));
        assert_eq!(before[0] + after[0], 20, "{at}");
        parts.push((at, before, after));
    }
    server.client.ask("/v1/replays/verify", &json!({ "after": -1 })).await.is_problem(422, "bad-json");
    let text = Cli::of(&server).prints(&["replays", "verify"]);
    assert!(text.contains("attempts executed again: 20; not reproducible, not executed: 0; different: 0"), "{text}");
    assert!(server.terminate().await.success());
    // The same without a server, read from the beginning or looked up.
    for (at, before, after) in parts {
        assert_eq!(offline(&server.dir, 0, at), before, "up to {at}");
        assert_eq!(offline(&server.dir, at, u64::MAX), after, "after {at}");
    }
}
