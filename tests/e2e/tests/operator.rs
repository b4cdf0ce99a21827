//! What operators see and do: lag, evidence, bulk commands, pages of lists, and the server's log.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use weirgate_tests::{Cli, Server, Setup, Terminal, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn work(key: &str, id: &str, fail: Option<&str>) -> Value {
    event("mend.work", key, id, &json!({ "n": 1, "fail": fail }))
}

async fn mending() -> Server {
    let server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["retry"] = json!([]);
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    server
}

/// Waits until a number of deliveries are in a state.
async fn waiting(server: &Server, state: &str, count: usize) {
    eventually(&format!("{count} deliveries that are {state}"), PATIENCE, async || {
        let list = server.client.get(&format!("/v1/deliveries?state={state}&limit=1000")).await.ok();
        let found = list["deliveries"].as_array().map_or(0, Vec::len);
        if found == count { Ok(()) } else { Err(list) }
    })
    .await;
}

async fn metric(server: &Server, name: &str) -> f64 {
    let text = server.client.get("/metrics").await.text;
    let prefix = format!("{name}{{handler=\"mender\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).expect(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisoned_key_is_no_lag_and_its_age_shows() {
    let mut server = mending().await;
    server.client.accept(work("order/bad", "bad", Some("correctable"))).await;
    waiting(&server, "awaiting-correction", 1).await;
    let events: Vec<_> = (0..300).map(|n| work(&format!("order/{n}"), &n.to_string(), None)).collect();
    server.client.publish(&events).await.ok();
    let handler = eventually("all others to be done", PATIENCE, async || {
        let handler = server.client.handler("mender").await;
        if handler["open"] == 1 && handler["lag"] == 0 { Ok(handler) } else { Err(handler) }
    })
    .await;
    let at = DateTime::parse_from_rfc3339(handler["oldest_open_at"].as_str().expect("a time")).expect("RFC 3339");
    assert_eq!(json!(at.timestamp_millis()), handler["oldest_open_at_ms"]);
    assert!(metric(&server, "weirgate_handler_lag_events").await < 0.5);
    eventually("the age to grow", PATIENCE, async || {
        let age = metric(&server, "weirgate_handler_oldest_open_delivery_age_seconds").await;
        if age > 1.0 && age < 600.0 { Ok(()) } else { Err(age) }
    })
    .await;
    // A handler that drains takes no events: the notice of that, and five more, which are counted across restarts.
    let cli = Cli::of(&server);
    cli.prints(&["handlers", "drain", "mender", "--reason", "maintenance"]);
    for n in 0..5 {
        server.client.accept(work("order/late", &format!("late-{n}"), None)).await;
    }
    assert_eq!(server.client.handler("mender").await["lag"], 6);
    for _ in 0..2 {
        server.restart().await;
        assert_eq!(server.client.handler("mender").await["lag"], 6);
    }
    let listed = cli.prints(&["handlers", "list"]);
    assert!(listed.contains("OLDEST OPEN") && listed.contains("maintenance"), "{listed}");
    cli.prints(&["handlers", "resume", "mender"]);
    eventually("it to catch up", PATIENCE, async || {
        let handler = server.client.handler("mender").await;
        if handler["lag"] == 0 { Ok(()) } else { Err(handler) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_is_given_up_keeps_its_evidence() {
    let server = mending().await;
    let cli = Cli::of(&server);
    let position = server.client.accept(work("order/1", "1", Some("correctable"))).await;
    let id = format!("mender@{position}");
    waiting(&server, "awaiting-correction", 1).await;
    let listed = cli.prints(&["deliveries", "list"]);
    assert!(listed.contains("REASON") && listed.contains("AGE"), "{listed}");
    cli.prints(&["deliveries", "dead-letter", &id, "--reason", "hopeless"]);
    let line = server.line("a delivery is a dead letter", 0).await;
    assert!(line.contains("WARN") && line.contains("class=\"correctable\"") && line.contains("digest="), "{line}");
    assert!(line.contains("actor=\"tester\"") && line.contains("reason=\"hopeless\""), "{line}");
    let digest = server.client.handler("mender").await["digest"].as_str().expect("a digest").to_owned();
    let short = digest.strip_prefix("sha256:").and_then(|digits| digits.get(..8)).expect("digits");
    for digest in [digest.as_str(), short, &format!("sha256:{short}"), &short.to_uppercase()] {
        let found = cli.json(&["dead-letters", "list", "--class", "correctable", "--digest", digest]);
        let dead = &found["dead_letters"][0];
        assert_eq!(
            (&dead["id"], &dead["attempt"], &dead["digest"].to_string().contains(short)),
            (&json!(id), &json!(1), &true)
        );
        assert!(DateTime::parse_from_rfc3339(dead["at"].as_str().expect("a time")).is_ok(), "{dead}");
        assert!(
            dead["message"].as_str().is_some_and(|text| text.contains("hopeless") && text.contains("last failure"))
        );
    }
    for (digest, code) in [("abc", "bad-id"), ("xyzxyzxyz", "bad-id"), ("00000000", "unknown-digest")] {
        let refused = cli.fails(&["dead-letters", "list", "--digest", digest]);
        assert!(refused[0].contains(&format!("({code})")), "{refused:?}");
    }
    let notices = server.client.events_of("weirgate.delivery.dead-lettered").await;
    let data = &notices.last().expect("a notice")["data"];
    assert_eq!((&data["attempt"], &data["failure"]["class"]), (&json!(1), &json!("correctable")));
    assert_eq!((&data["actor"], &data["reason"]), (&json!("tester"), &json!("hopeless")));
    // A redeployment takes a prefix as well.
    let body = json!({ "digest": short, "manifest": manifest("mender", &["mend.work"]) });
    let answer =
        server.client.send(reqwest::Method::PUT, "/v1/handlers/mender", "application/json", body.to_string()).await;
    assert_eq!(answer.ok()["digest"], digest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_for_many_are_planned_asked_and_counted() {
    let server = mending().await;
    let cli = Cli::of(&server);
    let code = |args: &[&str]| cli.run(args).status.code();
    let retry = ["deliveries", "retry", "--handler", "mender", "--state", "awaiting-correction"];
    assert_eq!(code(&[retry.as_slice(), &["--yes"]].concat()), Some(4), "nothing matches");
    for n in 0..30 {
        server.client.accept(work(&format!("order/{n}"), &n.to_string(), Some("correctable"))).await;
    }
    waiting(&server, "awaiting-correction", 30).await;
    let refused = cli.run(&retry);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--yes") && said.contains("--plan"), "{said}");
    assert_eq!(code(&["deliveries", "retry"]), Some(2), "nothing is selected");
    assert_eq!(code(&["deliveries", "retry", "mender@1", "--all", "--yes"]), Some(2), "selected twice");
    let plan = cli.prints(&[retry.as_slice(), &["--plan"]].concat());
    assert!(plan.contains("plan: retry 30 deliveries; nothing was done") && plan.contains("and 10 more"), "{plan}");
    assert_eq!(server.client.events_of("weirgate.delivery.decided").await.len(), 0);
    assert_eq!(cli.json(&[retry.as_slice(), &["--plan"]].concat())["deliveries"].as_array().map(Vec::len), Some(30));
    let done = cli.prints(&[retry.as_slice(), &["--yes"]].concat());
    assert!(done.starts_with("retry: 30 deliveries"), "{done}");
    assert_eq!(server.client.events_of("weirgate.delivery.decided").await.len(), 30);
    waiting(&server, "awaiting-correction", 30).await;
    let skipped = cli.json(&["deliveries", "skip", "--key", "order/7", "--yes"]);
    assert_eq!(skipped["decided"].as_array().map(Vec::len), Some(1));
    cli.prints(&["deliveries", "dead-letter", "--all", "--yes", "--reason", "give up"]);
    let apply = ["dead-letters", "apply", "--command", "discard", "--class", "correctable"];
    assert_eq!(code(&apply), Some(2));
    let plan = cli.prints(&[apply.as_slice(), &["--plan"]].concat());
    assert!(plan.contains("plan: discard 29 dead letters; nothing was done"), "{plan}");
    cli.prints(&[apply.as_slice(), &["--yes", "--per-second", "1000"]].concat());
    assert_eq!(code(&[apply.as_slice(), &["--yes"]].concat()), Some(4), "none is left");
}

async fn dead(server: &Server, count: usize) {
    eventually(&format!("{count} dead letters"), PATIENCE, async || {
        let list = server.client.get("/v1/dead-letters").await.ok();
        let found = list["dead_letters"].as_array().map_or(0, Vec::len);
        if found == count { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dies_after_the_question_is_not_part_of_the_answer() {
    let server = mending().await;
    let cli = Cli::of(&server);
    let die = async |ids: std::ops::Range<usize>| {
        for n in ids {
            server.client.accept(work(&format!("order/{n}"), &n.to_string(), Some("permanent"))).await;
        }
    };
    die(0..5).await;
    dead(&server, 5).await;
    let apply = ["dead-letters", "apply", "--command", "discard", "--all"];
    let plan = cli.prints(&[apply.as_slice(), &["--plan"]].concat());
    let mut terminal = Terminal::start(&server, 80, &apply);
    terminal.shows("discard 5 dead letters? [y/N]").await;
    die(5..12).await;
    // One of the five dies anew meanwhile: it is another dead letter by then.
    let reopened = cli.json(&["dead-letters", "list", "--key", "order/3"])["dead_letters"][0]["id"].clone();
    let reopened = reopened.as_str().expect("an id");
    cli.prints(&["dead-letters", "resubmit", reopened]);
    dead(&server, 12).await;
    terminal.types("y");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    let jobs = cli.json(&["bulk-jobs", "list"]);
    assert_eq!(jobs["bulk_jobs"][0]["done"], 4, "{jobs}");
    dead(&server, 8).await;
    assert_eq!(cli.json(&["dead-letters", "list", "--key", "order/3"])["dead_letters"][0]["id"], reopened);
    // The plan names the bound that keeps a later command to what it has shown.
    let through = plan.split("--through ").nth(1).expect("a position").trim();
    let bounded = [apply.as_slice(), &["--through", through, "--yes"]].concat();
    assert_eq!(cli.run(&bounded).status.code(), Some(4), "all that the plan has shown are discarded");
    dead(&server, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_says_exactly_when_there_is_more() {
    let server = mending().await;
    let cli = Cli::of(&server);
    for n in 0..3 {
        server.client.accept(work(&format!("order/{n}"), &format!("a{n}"), Some("correctable"))).await;
        server.client.accept(work(&format!("order/{n}"), &format!("b{n}"), None)).await;
        server.client.accept(work(&format!("dead/{n}"), &format!("c{n}"), Some("permanent"))).await;
    }
    waiting(&server, "awaiting-correction", 3).await;
    eventually("three dead letters", PATIENCE, async || {
        let found = cli.json(&["dead-letters", "list"])["dead_letters"].as_array().map_or(0, Vec::len);
        if found == 3 { Ok(()) } else { Err(found) }
    })
    .await;
    for (list, rows, count) in [
        (["deliveries", "list", "--state", "awaiting-correction"].as_slice(), "deliveries", 3),
        (&["deliveries", "list", "--key", "order/1"], "deliveries", 2),
        (&["deliveries", "blocked"], "blocked", 3),
        (&["dead-letters", "list"], "dead_letters", 3),
        (&["dead-letters", "list", "--key", "dead/2"], "dead_letters", 1),
        (&["attempts", "list", "--key", "dead/2"], "attempts", 1),
        (&["attempts", "list", "--handler", "mender"], "attempts", 6),
        (&["events", "list", "--type", "mend.work"], "events", 9),
        (&["events", "list", "--key", "dead/2", "--type", "mend.work"], "events", 1),
    ] {
        let limited = |limit: usize| {
            [list, &["--limit", &limit.to_string()]].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let run = |args: &[String]| args.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
        let json = |args: Vec<String>| cli.json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let whole = json(run(&limited(1_000)));
        assert_eq!(whole[rows].as_array().map(Vec::len), Some(count), "{whole}");
        let exact = json(run(&limited(count)));
        if !["events", "attempts"].contains(&rows) {
            assert_eq!(exact["next"], Value::Null, "{list:?}: {exact}");
        }
        let (mut found, mut after) = (0, None::<String>);
        loop {
            let mut args = limited(1);
            args.extend(after.iter().flat_map(|after| ["--after".to_owned(), after.clone()]));
            let page = json(run(&args));
            found += page[rows].as_array().map_or(0, Vec::len);
            match &page["next"] {
                Value::Null => break,
                next => after = Some(next.as_str().map_or_else(|| next.to_string(), str::to_owned)),
            }
            assert!(found <= count, "{list:?}");
        }
        assert_eq!(found, count, "{list:?}");
        if count > 1 {
            // A list may have hints on standard error.
            let shown = cli.run(&limited(1).iter().map(String::as_str).collect::<Vec<_>>()).stdout;
            let shown = String::from_utf8(shown).expect("UTF-8");
            assert!(shown.lines().last().is_some_and(|line| line.starts_with("there are more: --after ")), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_leave_a_line_and_floods_only_a_few() {
    let server = mending().await;
    let cli = Cli::of(&server);
    server.line("a handler was deployed", 0).await;
    server.client.accept(work("order/t", "t", Some("trap"))).await;
    let trapped = server.line("a delivery is a dead letter", 0).await;
    assert!(
        trapped.contains("WARN") && trapped.contains("delivery=mender@") && trapped.contains("kind=\"trap\""),
        "{trapped}"
    );
    cli.prints(&["handlers", "pause", "mender", "--reason", "a look", "--actor", "ada"]);
    let paused = server.line("a handler's mode changed", 0).await;
    assert!(
        paused.contains("mode=\"paused\"") && paused.contains("actor=\"ada\"") && paused.contains("reason=\"a look\""),
        "{paused}"
    );
    cli.prints(&["handlers", "resume", "mender"]);
    let from = server.lines_count();
    let flood: Vec<_> = (0..500).map(|n| work(&format!("flood/{n}"), &format!("f{n}"), Some("permanent"))).collect();
    server.client.publish(&flood).await.ok();
    server.client.drained(PATIENCE).await;
    let left_out = server.line("lines were left out", from).await;
    assert!(left_out.contains("dead letters") && left_out.contains("left_out="), "{left_out}");
    let dead = cli.json(&["dead-letters", "list", "--limit", "1"])["dead_letters"][0]["id"].clone();
    cli.prints(&["dead-letters", "discard", dead.as_str().expect("an id"), "--reason", "old"]);
    let decided = server.line("a delivery was decided", from).await;
    assert!(decided.contains("command=\"discard\"") && decided.contains("reason=\"old\""), "{decided}");
    assert!(server.lines_count() - from < 60, "the flood is in the log");
}
