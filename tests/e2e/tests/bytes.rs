//! JSON that keeps its spelling: through every endpoint, corrections of each kind, and every output.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{fs, time::Duration};

use reqwest::Method;
use serde_json::json;
use weirgate_tests::{Answer, Cli, Client, Server, Setup, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// Numbers that no `f64` holds or prints like this, and members that a patch does not name.
const NUMBERS: &str = r#""n":7,"id":12345678901234567890123,"small":1e-400,"large":1E400,"zero":-0,"one":1.0,"e":"\u00e9","twice":1,"twice":2.50"#;

fn data(fail: &str) -> String {
    format!(r#"{{{NUMBERS},"fail":{fail}}}"#)
}

fn work(key: &str, id: &str, data: &str) -> String {
    event("mend.work", key, id, data)
}

fn event(r#type: &str, key: &str, id: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","source":"/shop","type":"{type}","subject":"{key}","id":"{id}","data":{data}}}"#)
}

/// A server whose only handler fails as its events request, and takes corrections as events.
async fn mending() -> Server {
    let server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["subscriptions"][0]["corrections"] = json!(["mend.fix"]);
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    server
}

/// Publishes one event with its exact spelling, and returns its position.
async fn accept(client: &Client, event: String) -> u64 {
    let answer = client.send(Method::POST, "/v1/events", STRUCTURED, event).await;
    answer.ok()["events"][0]["position"].as_u64().expect("a position")
}

async fn stands(client: &Client, id: &str, state: &str) -> String {
    eventually(&format!("{id} to be {state}"), PATIENCE, async || {
        let answer = client.get(&format!("/v1/deliveries/{id}")).await;
        // As text: not every JSON parser accepts these numbers.
        if answer.text.contains(&format!(r#""state":"{state}""#)) { Ok(answer.text) } else { Err(answer.text) }
    })
    .await
}

/// Sends the command as soon as no attempt is running.
async fn decide(client: &Client, id: &str, command: &str, body: &str) -> String {
    eventually(&format!("{command} {id}"), PATIENCE, async || {
        let answer = try_to(client, id, command, body.to_owned()).await;
        if answer.status == 202 { Ok(answer.text) } else { Err(answer.text) }
    })
    .await
}

async fn try_to(client: &Client, id: &str, command: &str, body: impl Into<reqwest::Body>) -> Answer {
    client.send(Method::POST, &format!("/v1/deliveries/{id}/{command}"), "application/json", body).await
}

async fn binary(client: &Client, id: &str, data: impl Into<reqwest::Body>) -> Answer {
    let attributes =
        [("specversion", "1.0"), ("source", "/shop"), ("type", "mend.work"), ("subject", "order/binary"), ("id", id)];
    let mut request = client.request(Method::POST, "/v1/events").header("content-type", "application/json");
    for (name, value) in attributes {
        request = request.header(format!("ce-{name}"), value);
    }
    client.attempt(request.body(data)).await.expect("an answer")
}

#[track_caller]
fn holds(text: &str, part: &str) {
    assert!(text.contains(part), "{part} is missing in\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_keep_their_spelling_through_every_endpoint() {
    let server = mending().await;
    let (client, data) = (&server.client, data("null"));
    let attributes = r#""retries":-3,"ratio":"1.0","specversion":"1.0""#;
    let structured = work("order/1", "1", &data).replace(r#""specversion":"1.0""#, attributes);
    let batch = format!("[{},{}]", work("order/2", "2", &data), work("order/3", "3", &data));
    let mut positions = vec![accept(client, structured).await];
    let batch = client.send(Method::POST, "/v1/events", BATCH, batch).await.ok();
    positions.extend(batch["events"].as_array().expect("events").iter().filter_map(|one| one["position"].as_u64()));
    let posted = work("order/4", "4", &data);
    let posted = client.send(Method::POST, "/v1/handlers/mender/events", STRUCTURED, posted).await.ok();
    positions.push(posted["events"][0]["position"].as_u64().expect("a position"));
    positions.push(binary(client, "5", data.clone()).await.ok()["events"][0]["position"].as_u64().expect("a position"));
    assert_eq!(positions.len(), 5);
    for position in positions {
        holds(&client.get(&format!("/v1/events/{position}")).await.text, &format!(r#""data":{data}"#));
    }
    let shown = client.get("/v1/events").await.text;
    assert_eq!(shown.matches(&data).count(), 5, "{shown}");
    holds(&shown, r#""retries":-3"#);
    holds(&shown, r#""ratio":"1.0""#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_of_one_member_leaves_the_bytes_of_the_others() {
    let server = mending().await;
    let client = &server.client;
    let id = format!("mender@{}", accept(client, work("order/1", "1", &data(r#""correctable""#))).await);
    stands(client, &id, "awaiting-correction").await;
    // Two patches, one on the other.
    let decided = decide(client, &id, "correct", r#"{"patch":{"fail":"permanent","large":1E401}}"#).await;
    let diff = r#""diff":[{"op":"replace","path":"/fail","value":"permanent"},{"op":"replace","path":"/large","value":1E401}]"#;
    holds(&decided, diff);
    let after = data(r#""permanent""#).replace("1E400", "1E401");
    let shown = stands(client, &id, "dead-lettered").await;
    holds(&shown, &format!(r#""data":{after}"#));
    holds(&shown, diff);
    let resubmitted = r#"{"patch":{"note":1e-400}}"#;
    let endpoint = format!("/v1/dead-letters/{id}/resubmit");
    let answer = client.send(Method::POST, &endpoint, "application/json", resubmitted).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    holds(&answer.text, r#""diff":[{"op":"add","path":"/note","value":1e-400}]"#);
    let shown = stands(client, &id, "dead-lettered").await;
    holds(&shown, &format!(r#""data":{},"note":1e-400}}"#, after.trim_end_matches('}')));
    // Events that resolve it keep their spelling, too.
    let instead = work("order/1", "1b", &data("null"));
    let resolved = decide(client, &id, "resolve", &format!(r#"{{"events":[{instead}]}}"#)).await;
    let resolved: serde_json::Value = serde_json::from_str(&resolved).expect("JSON");
    let position = resolved["position"].as_u64().expect("a position") + 1;
    holds(&client.get(&format!("/v1/events/{position}")).await.text, &data("null"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_event_keeps_the_spelling_of_merged_numbers() {
    let server = mending().await;
    let client = &server.client;
    let id = format!("mender@{}", accept(client, work("order/1", "1", &data(r#""correctable""#))).await);
    stands(client, &id, "awaiting-correction").await;
    accept(client, event("mend.fix", "order/1", "fix", r#"{"fail":"permanent","small":2e-400}"#)).await;
    let shown = stands(client, &id, "dead-lettered").await;
    holds(&shown, &data(r#""permanent""#).replace("1e-400", "2e-400"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_keeps_the_spelling_of_numbers() {
    let server = mending().await;
    let (client, cli, dir) = (&server.client, Cli::of(&server), tempfile::tempdir().expect("a directory"));
    let waiting = data(r#""correctable""#);
    let file = dir.path().join("event.json").to_string_lossy().into_owned();
    fs::write(&file, format!(" [{}]\n", work("order/1", "1", &waiting))).expect("written");
    let position = cli.json(&["events", "publish", "--file", &file])["events"][0]["position"].clone();
    let published = ["events", "publish", "--type", "mend.work", "--subject", "order/2", "--data", &data("null")];
    cli.prints(&published);
    let events = client.get("/v1/events").await.text;
    holds(&events, &waiting);
    holds(&events, &data("null"));
    let id = format!("mender@{position}");
    stands(client, &id, "awaiting-correction").await;
    let decided = cli.prints(&["deliveries", "correct", &id, "--patch", r#"{"fail":"permanent","large":1E401}"#]);
    holds(&decided, r#"{"op":"replace","path":"/large","value":1E401}"#);
    stands(client, &id, "dead-lettered").await;
    for format in ["text", "json"] {
        let shown = cli.prints(&["deliveries", "show", &id, "--output", format]);
        for part in ["12345678901234567890123", "1e-400", "1E401", "1E400", ": -0", ": 1.0", "\\u00e9", ": 2.50"] {
            holds(&shown, part);
        }
    }
    let data_again = data(r#""permanent""#).replace("1E400", "1E402");
    cli.prints(&["dead-letters", "resubmit", &id, "--data", &data_again]);
    holds(&stands(client, &id, "dead-lettered").await, &format!(r#""data":{data_again}"#));
    fs::write(&file, work("order/3", "3", &data("null"))).expect("written");
    cli.prints(&["deliveries", "resolve", &id, "--events", &file]);
    client.reaches("order/3", "mender", "done").await;
    holds(&cli.prints(&["status", "get", "order/3", "--output", "json"]), r#""data":7"#);
    fs::write(&file, b"\xef\xbb\xbf{}").expect("written");
    assert!(cli.fails(&["events", "publish", "--file", &file])[0].contains("is not JSON"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_a_schedule_keeps_its_spelling() {
    let server = Setup::new().start().await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    let toml = "name = \"mender\"\nmodule = \"mender.wasm\"\nsubscriptions = []\n[[schedules]]\nname = \"a\"\n\
                cron = \"* * * * *\"\ntype = \"mend.work\"\nkey = \"k\"\ndata = { amount = 1.10, n = 7, small = 1e-400 }\n";
    let file = dir.path().join("handler.toml").to_string_lossy().into_owned();
    fs::write(&file, toml).expect("written");
    fs::write(dir.path().join("mender.wasm"), weirgate_guests::build("mender")).expect("written");
    cli.prints(&["handlers", "deploy", &file]);
    holds(&server.client.get("/v1/handlers/mender").await.text, r#""data":{"amount":1.10,"n":7,"small":1e-400}"#);
}

/// JSON validity is the same at every endpoint: each accepts it unchanged, or refuses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_validity_is_the_same_at_every_endpoint() {
    let server = mending().await;
    let client = &server.client;
    let id = format!("mender@{}", accept(client, work("order/0", "0", r#"{"n":1,"fail":"correctable"}"#)).await);
    stands(client, &id, "awaiting-correction").await;
    let deep = |depth: usize| ("[".repeat(depth) + &"]".repeat(depth)).into_bytes();
    let cases: Vec<(Vec<u8>, bool)> = vec![
        (b"1E400".into(), true),
        (br#"{"a":1,"a":2}"#.into(), true),
        (br#""\u0000""#.into(), true),
        (br#""\ud83d\ude00""#.into(), true),
        (deep(64), true),
        (deep(65), false),
        (deep(200), false),
        (br#""\ud800""#.into(), false),
        (br#"{"\udfff":1}"#.into(), false),
        (b"\"\xff\"".into(), false),
        (b"\"\x00\"".into(), false),
        (b"\xef\xbb\xbf1".into(), false),
        (b"01".into(), false),
        (b"NaN".into(), false),
    ];
    for (index, (json, is_taken)) in cases.into_iter().enumerate() {
        let shown = String::from_utf8_lossy(&json).into_owned();
        let around = |text: &str| -> Vec<u8> {
            let (before, after) = text.split_once("DATA").expect("a placeholder for the data");
            [before.as_bytes(), &json, after.as_bytes()].concat()
        };
        let key = format!("order/{}", index + 1);
        let structured = around(&work(&key, &format!("s{index}"), "DATA"));
        let batch = around(&format!("[{}]", work(&key, &format!("b{index}"), "DATA")));
        let instead = around(&format!(r#"{{"events":[{}]}}"#, work(&key, &format!("r{index}"), "DATA")));
        let answers = [
            ("structured", client.send(Method::POST, "/v1/events", STRUCTURED, structured).await),
            ("batch", client.send(Method::POST, "/v1/events", BATCH, batch).await),
            ("binary", binary(client, &format!("i{index}"), json.clone()).await),
            ("data", try_to(client, "mender@1000000", "correct", around(r#"{"data":DATA}"#)).await),
            ("patch", try_to(client, "mender@1000000", "correct", around(r#"{"patch":{"a":DATA}}"#)).await),
            ("resolve", try_to(client, "mender@1000000", "resolve", instead).await),
        ];
        for (endpoint, answer) in answers {
            // A patch adds one level. If there is no such delivery, the data was accepted.
            let is_taken = is_taken && !(endpoint == "patch" && shown.starts_with("[[[["));
            let taken = [202, 404].contains(&answer.status);
            assert_eq!(taken, is_taken, "{shown} at {endpoint}: {} {}", answer.status, answer.text);
            assert!(taken || [400, 422].contains(&answer.status), "{shown} at {endpoint}: {}", answer.text);
        }
    }
}
