//! The command line: the output of each command as text and as JSON, and how it fails.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use weirgate_tests::{Cli, Setup, binary, event, eventually, free_port};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A folder with the ledger's manifest and module.
fn write_ledger(dir: &Path) -> String {
    let manifest = "name = \"ledger\"\nmodule = \"ledger.wasm\"\nstart = \"beginning\"\nretry = []\n\
                    [[subscriptions]]\ntypes = [\"ledger.add\"]\n";
    fs::write(dir.join("handler.toml"), manifest).expect("written");
    fs::write(dir.join("ledger.wasm"), weirgate_guests::build("ledger")).expect("written");
    dir.join("handler.toml").to_str().expect("a path").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_deployed_listed_paused_and_resumed() {
    let server = Setup::new().start().await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    let manifest = write_ledger(dir.path());
    let deployed = cli.prints(&["handlers", "deploy", &manifest]);
    assert!(deployed.starts_with("NAME") && deployed.contains("\nledger  running"), "{deployed}");
    assert_eq!(cli.json(&["handlers", "list"])["handlers"][0]["name"], "ledger");
    assert!(cli.prints(&["handlers", "pause", "ledger"]).contains("paused"));
    assert_eq!(cli.json(&["handlers", "resume", "ledger"])["handlers"][0]["state"], "running");
    let unknown = cli.fails(&["handlers", "pause", "absent"]);
    assert_eq!(
        unknown,
        [
            "error: there is no handler absent (unknown-handler)",
            "hint: `weirgate handlers list` shows what is deployed"
        ]
    );
    fs::write(dir.path().join("handler.toml"), "name = \"ledger\"\ncolour = \"red\"\n").expect("written");
    let bad = cli.fails(&["handlers", "deploy", &manifest]);
    assert!(bad[0].starts_with("error: ") && bad.join(" ").contains("there is no `colour`"), "{bad:?}");
    fs::write(
        dir.path().join("handler.toml"),
        "name = \"a\"\nmodule = \"gone.wasm\"\n[[subscriptions]]\ntypes = [\"a\"]\n",
    )
    .expect("written");
    assert!(cli.fails(&["handlers", "deploy", &manifest])[0].contains("cannot read the module"));
    fs::write(dir.path().join("gone.wasm"), "no wasm").expect("written");
    assert!(cli.fails(&["handlers", "deploy", &manifest])[0].contains("(not-webassembly)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_published_and_their_results_shown() {
    let server = Setup::new().start().await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    cli.prints(&["handlers", "deploy", &write_ledger(dir.path())]);
    let publish =
        ["events", "publish", "--type", "ledger.add", "--subject", "account/1", "--id", "1", "--data", r#"{"n":1}"#];
    let published = cli.prints(&publish);
    assert!(published.starts_with("POSITION") && published.contains("account/1"), "{published}");
    let again = cli.json(&publish);
    assert_eq!((&again["events"][0]["duplicate"], &again["events"][0]["source"]), (&json!(true), &json!("/cli")));
    let keyed = cli.json(&["events", "publish", "--type", "other", "--key", "account/9"]);
    assert_eq!(keyed["events"][0]["key"], "account/9");
    let keyless = cli.fails(&["events", "publish", "--type", "other"]);
    assert!(keyless[0].contains("subject"), "{keyless:?}");
    server.client.reaches("account/1", "ledger", "counted").await;
    let status = cli.prints(&["status", "get", "account/1"]);
    assert!(status.starts_with("version ") && status.contains("1 entries"), "{status}");
    assert_eq!(cli.json(&["status", "get", "account/1"])["parts"]["ledger"]["state"], "counted");
    let file = dir.path().join("events.json");
    let batch = json!([
        event("ledger.add", "account/2", "a", &json!({ "n": 1, "failures": 9 })),
        event("other", "k", "b", &json!(null))
    ]);
    fs::write(&file, batch.to_string()).expect("written");
    let published = cli.json(&["events", "publish", "--file", file.to_str().expect("a path")]);
    assert_eq!(published["events"].as_array().map(Vec::len), Some(2));
    let dead = format!("ledger@{}", published["events"][0]["position"]);
    let listed = eventually("a dead letter", std::time::Duration::from_secs(20), async || {
        let listed = cli.prints(&["dead-letters", "list"]);
        if listed.contains(&dead) { Ok(listed) } else { Err(listed) }
    })
    .await;
    assert!(listed.contains("transient") && listed.contains("attempt 1 of 10 fails"), "{listed}");
    assert_eq!(cli.json(&["dead-letters", "resubmit", &dead])["decided"][0]["id"], dead);
    assert!(cli.prints(&["deliveries", "list", "--handler", "ledger"]).starts_with("ID"));
    assert!(cli.json(&["deliveries", "list"])["deliveries"].is_array());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_one_line_and_a_hint() {
    let server = Setup::new().start().await;
    let cli = Cli::of(&server);
    assert_eq!(cli.fails(&["status", "get", "account/9"]), ["error: nothing is known of account/9 (not-found)"]);
    let resubmit = cli.fails(&["dead-letters", "resubmit", "ledger@7"]);
    assert_eq!(
        resubmit,
        [
            "error: ledger@7 is not a dead letter (not-a-dead-letter)",
            "hint: `weirgate dead-letters list` shows their ids"
        ]
    );
    let no_json = cli.fails(&["events", "publish", "--type", "a", "--subject", "b", "--data", "{"]);
    assert!(no_json[0].starts_with("error: --data is not JSON"), "{no_json:?}");
    let no_server = format!("http://127.0.0.1:{}", free_port());
    let output =
        Command::new(binary()).args(["--url", &no_server, "handlers", "list"]).output().expect("the command line");
    let expected = format!(
        "error: no answer from {no_server}: Connection refused\nhint: start a server with `weirgate serve`, or name another with --url\n"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), expected));
    let wrong = Command::new(binary()).args(["handlers", "dance"]).output().expect("the command line");
    assert_eq!(wrong.status.code(), Some(2), "wrong usage has its own exit code");
    let bare = Command::new(binary()).output().expect("the command line");
    assert!(text(&bare.stderr).contains("Usage"), "{bare:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_watched_as_it_changes() {
    let server = Setup::new().start().await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    cli.prints(&["handlers", "deploy", &write_ledger(dir.path())]);
    let seen = dir.path().join("seen");
    let url = server.url("");
    let mut watching = Command::new(binary())
        .args(["--url", &url, "--output", "json", "status", "watch", "account/1"])
        .stdout(fs::File::create(&seen).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the command line");
    let patience = std::time::Duration::from_secs(20);
    for n in 0..=2 {
        if n > 0 {
            server.client.accept(event("ledger.add", "account/1", &n.to_string(), &json!({ "n": n }))).await;
        }
        eventually("a line of its own", patience, async || {
            let lines = fs::read_to_string(&seen).expect("the file");
            let last: Value = lines.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
            let count = last["parts"]["ledger"]["data"]["count"].as_u64().unwrap_or(0);
            if last["type"].is_string() && count == n { Ok(()) } else { Err(lines) }
        })
        .await;
    }
    watching.kill().expect("killed");
    watching.wait().expect("reaped");
}

/// Each needs no server. A file without an end is read no further than a module may be long.
#[test]
fn files_without_an_end_and_missing_logs_are_refused() {
    let absent = tempfile::tempdir().expect("a directory").path().join("absent");
    let absent = absent.to_str().expect("a path");
    let cases: [(&[&str], i32, &str); 3] = [
        (&["log", "repair", "--accept-loss", "--data", absent], 4, "there is no log in"),
        (&["handlers", "deploy", "/dev/zero"], 2, "it is larger than 33554432 bytes"),
        (&["serve", "--config", "/dev/zero", "--data", absent], 2, "it is larger than 33554432 bytes"),
    ];
    for (args, code, says) in cases {
        let output = Command::new(binary()).args(args).output().expect("the command line");
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(says), "{args:?}: {:?}: {said}", output.status);
    }
}
