//! The command line at its edges: pipes, widths, control characters, addresses, exit codes.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::json;
use weirgate_tests::{Cli, Server, Setup, Terminal, binary, event, eventually, free_port, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
const PROXIES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY", "no_proxy"];

async fn serving() -> Server {
    let server = Setup::new().start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server
}

fn weirgate(url: &str, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    for name in PROXIES {
        command.env_remove(name);
    }
    command.args(["--url", url]).args(args).envs(env.iter().copied()).stdin(Stdio::null());
    command.output().expect("the command line")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_ends_every_command_quietly() {
    let server = serving().await;
    let position = server.client.accept(event("ledger.add", "account/1", "1", &json!({ "n": 1 }))).await;
    server.client.reaches("account/1", "ledger", "counted").await;
    let url = server.url("");
    for args in [
        ["handlers", "list"].as_slice(),
        &["deliveries", "list"],
        &["deliveries", "blocked"],
        &["dead-letters", "list"],
        &["attempts", "list"],
        &["bulk-jobs", "list"],
        &["breakers", "list"],
        &["events", "list"],
        &["events", "list", "--output", "json"],
        &["events", "show", &position.to_string()],
        &["events", "tail", "--after", "0"],
        &["events", "tail"],
        &["status", "get", "account/1"],
        &["status", "watch", "account/1"],
        &["status", "watch", "account/none"],
        &["openapi"],
        &["completions", "bash"],
        &["--help"],
        &["deliveries", "retry", "--help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(binary());
        command.args(["--url", &url]).args(args).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command line");
        let status = eventually(&format!("{args:?} to end"), PATIENCE, async || {
            child.try_wait().expect("its state").ok_or("it runs")
        })
        .await;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("its errors"), &mut said).expect("read");
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
    // With standard error closed as well, a failure does not panic.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(binary());
    let status =
        command.args(["--url", &url, "events", "show", "999999"]).stdout(Stdio::null()).stderr(writer).status();
    assert_eq!(status.expect("the command line").code(), Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_fit_the_terminal_and_cut_no_name() {
    let server = Setup::new().start().await;
    let mut mender = manifest("payments-of-all-orders", &["mend.work"]);
    mender["retry"] = json!([]);
    server.client.deploy(&mender, weirgate_guests::build("mender")).await;
    let work = json!({ "n": 1, "fail": "permanent" });
    let position = server.client.accept(event("mend.work", "order/2026-07-01-000017", "1", &work)).await;
    server.client.drained(PATIENCE).await;
    let id = format!("payments-of-all-orders@{position}");
    for (columns, is_whole) in [(200, true), (80, false), (60, false), (40, false)] {
        let terminal = Terminal::start(&server, columns, &["dead-letters", "list"]);
        let (code, shown) = terminal.ends().await;
        assert_eq!(code, Some(0), "{shown}");
        for line in shown.lines() {
            let is_note = line.starts_with("a wider terminal also shows ");
            assert!(is_note || unicode_width::UnicodeWidthStr::width(line) <= columns, "{columns}: {shown}");
        }
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(&id) && words.contains("order/2026-07-01-000017"), "{columns}: {shown}");
        assert!(words.contains("it will never work"), "{columns}: {shown}");
        assert_eq!(shown.contains("a wider terminal also shows "), !is_whole, "{columns}: {shown}");
    }
    let piped = weirgate(&server.url(""), &["dead-letters", "list"], &[("COLUMNS", "40")]);
    let piped = text(&piped.stdout);
    assert!(piped.lines().count() == 2 && piped.contains(&id) && piped.contains("it will never work"), "{piped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_cannot_command_the_terminal() {
    let server = serving().await;
    let (wide, evil) = (format!("konto/{}", "日本".repeat(40)), "evil/\u{1f4a3}");
    server.client.accept(event("ledger.add", &wide, "1", &json!({ "n": 1 }))).await;
    let data = json!({ "n": 1, "text": "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}" });
    let position = server.client.accept(event("ledger.add", evil, "2", &data)).await.to_string();
    let whole = weirgate(&server.url(""), &["events", "list"], &[]);
    assert!(text(&whole.stdout).contains(&wide), "other readers get whole lines");
    for args in [
        ["events", "list"].as_slice(),
        &["events", "show", &position],
        &["events", "list", "--output", "json"],
        &["events", "tail", "--after", "0"],
    ] {
        let mut child = Command::new(binary())
            .args(["--url", &server.url("")])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command line");
        let mut shown = vec![0; 64 << 10];
        let read = std::io::Read::read(child.stdout.as_mut().expect("its output"), &mut shown).expect("read");
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let shown = String::from_utf8_lossy(shown.get(..read).unwrap_or_default()).into_owned();
        let raw = shown.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(raw, None, "{args:?}: {shown:?}");
    }
    let missing = weirgate(&server.url(""), &["status", "get", "a\u{1b}[2Jb"], &[]);
    assert!(!text(&missing.stderr).contains('\u{1b}'), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subject_is_its_own() {
    let server = serving().await;
    let cli = Cli::of(&server);
    let subjects = [
        "a",
        "a b",
        "a%20b",
        "a%2520b",
        "a/b",
        "a/../b",
        "a?b",
        "a#b",
        "a+b",
        "ö/日本",
        "a;b",
        "a&b=c",
        "%",
        "a\\b",
        "...",
        ".",
        "..",
        "a//b",
        "/",
    ];
    for (n, subject) in subjects.iter().enumerate() {
        server.client.accept(event("ledger.add", subject, &format!("s{n}"), &json!({ "n": n }))).await;
    }
    server.client.drained(PATIENCE).await;
    for subject in subjects {
        let status = cli.json(&["status", "get", subject]);
        assert_eq!(status["parts"]["ledger"]["data"]["count"], 1, "{subject}: {status}");
    }
    assert!(cli.fails(&["status", "get", "b"])[0].contains("nothing is known of b (not-found)"));
    for (n, subject) in subjects.iter().enumerate() {
        let id = format!("s{n}");
        let source =
            server.client.get("/v1/events?limit=1&type=ledger.add").await.ok()["events"][0]["event"]["source"].clone();
        let shown = cli.json(&["events", "show", "--source", source.as_str().expect("a source"), "--id", &id]);
        assert_eq!((&shown["key"], &shown["event"]["id"]), (&json!(subject), &json!(id)));
        let by_position = cli.json(&["events", "show", &shown["position"].to_string()]);
        assert_eq!(by_position, shown);
    }
    assert!(cli.fails(&["events", "show", "--source", "/none", "--id", "1"])[0].contains("no event has the source"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_proxies_and_exit_codes() {
    let server = serving().await;
    let address = server.url("").trim_start_matches("http://").to_owned();
    let nowhere = format!("127.0.0.1:{}", free_port());
    let proxy = format!("http://ada:secret@{nowhere}");
    let proxied = [("http_proxy", proxy.as_str()), ("all_proxy", &proxy)];
    let port = address.rsplit(':').next().expect("a port");
    for url in [address.clone(), format!("http://{address}/"), format!("localhost:{port}")] {
        let output = weirgate(&url, &["handlers", "list"], &proxied);
        assert!(output.status.success(), "{url}: {}", text(&output.stderr));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).expect("written");
        dir.path().join(name).to_str().expect("a path").to_owned()
    };
    let module = b"name = \"a\"\nmodule = \"absent.wasm\"\n[[subscriptions]]\ntypes = [\"t\"]\n";
    let no_name = write("no-name.toml", b"name = 7\n[[subscriptions]]\ntypes = [\"t\"]\n");
    let (no_module, no_text) = (write("no-module.toml", module), write("no-text.toml", b"name = \"\xe4\"\n"));
    let no_file = |name: &str| format!("{name}: No such file or directory");
    for (url, args, env, code, says) in [
        (
            "weirgate.example",
            ["handlers", "list"].as_slice(),
            proxied.as_slice(),
            3,
            format!("through the proxy http://{nowhere}: "),
        ),
        (&nowhere, &["handlers", "list"], &[], 3, format!("no answer from http://{nowhere}: Connection refused")),
        (&nowhere, &["status", "watch", "a"], &[], 3, "no answer from".to_owned()),
        ("http://", &["handlers", "list"], &[], 2, "write for instance http://127.0.0.1:8080".to_owned()),
        ("ftp://a", &["handlers", "list"], &[], 2, "only http is supported".to_owned()),
        (&address, &["handlers", "pause", "absent"], &[], 4, "there is no handler absent".to_owned()),
        (&address, &["events", "show", "999999"], &[], 4, "there is no event".to_owned()),
        (
            &address,
            &["events", "publish", "--type", "weirgate.x", "--subject", "a"],
            &[],
            5,
            "(reserved-type)".to_owned(),
        ),
        (
            &address,
            &["events", "publish", "--type", "a", "--subject", "b", "--data", "{"],
            &[],
            2,
            "--data is not JSON".to_owned(),
        ),
        (&address, &["deliveries", "list", "--state", "sad"], &[], 2, "awaiting-correction".to_owned()),
        (&address, &["deliveries", "list", "--limit", "0"], &[], 2, "from 1 to 1000".to_owned()),
        (&address, &["dead-letters", "list", "--from", "yesterday"], &[], 2, "2026-07-01T12:00:00Z".to_owned()),
        (&address, &["breakers", "trip", "mender"], &[], 2, "write for instance handler/payment".to_owned()),
        (&address, &["events", "list", "--after", "zzz"], &[], 5, "`after`: it is no whole number".to_owned()),
        (&address, &["deliveries", "blocked", "--after", "-1"], &[], 2, "'-1'".to_owned()),
        (&address, &["events", "show", "zzz"], &[], 2, "write a whole number".to_owned()),
        (&address, &["handlers", "deploy", &no_name], &[], 2, "`name`: it is the number 7; write a text".to_owned()),
        (&address, &["deliveries", "show", ".."], &[], 2, "is no name".to_owned()),
        (&address, &["events", "publish", "--file", "nope.json"], &[], 2, no_file("nope.json")),
        (&address, &["handlers", "deploy", "nope.toml"], &[], 2, no_file("nope.toml")),
        (&address, &["handlers", "post", "ledger", "nope.json"], &[], 2, no_file("nope.json")),
        (&address, &["deliveries", "resolve", "ledger@1", "--events", "nope.json"], &[], 2, no_file("nope.json")),
        (&address, &["handlers", "deploy", &no_module], &[], 2, no_file("absent.wasm")),
        (&address, &["handlers", "deploy", &no_text], &[], 2, "is not UTF-8 at byte 8".to_owned()),
        (&address, &["events", "publish", "--file", &no_text], &[], 2, "is not JSON".to_owned()),
    ] {
        let output = weirgate(url, args, env);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{args:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains(&says) && !said.contains("secret"), "{args:?}: {said}");
        for raw in [
            "builder error",
            "error sending request",
            "expected value at line",
            "os error",
            "invalid digit",
            "invalid type",
        ] {
            assert!(!said.contains(raw), "{args:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_followed_from_its_end() {
    let server = serving().await;
    server.client.accept(event("ledger.add", "account/1", "before", &json!({ "n": 1 }))).await;
    let mut tail = Command::new(binary())
        .args(["--url", &server.url(""), "--output", "json", "events", "tail", "--type", "ledger.add"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command line");
    let output = tail.stdout.take().expect("its output");
    let first = std::thread::spawn(move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("a line");
        line
    });
    // It may have begun before or after any of these.
    let mut n = 0;
    eventually("a line", PATIENCE, async || {
        n += 1;
        server.client.accept(event("ledger.add", "account/1", &format!("after-{n}"), &json!({ "n": 1 }))).await;
        if first.is_finished() { Ok(()) } else { Err(n) }
    })
    .await;
    let line = first.join().expect("the reader ends");
    tail.kill().expect("killed");
    tail.wait().expect("reaped");
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert!(event["event"]["id"].as_str().is_some_and(|id| id.starts_with("after-")), "{event}");
}
