//! CloudEvents to the letter: the cases of the official conformance tests (JSON format and HTTP binding), round trips of the
//! SDKs of npm and `PyPI` and of our browser client, and the URL of every key's status in ordinary URL clients.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use weirgate_tests::{Answer, Client, Server, Setup, event, manifest, python_program, run_script};

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

async fn server(key_default: &str) -> Server {
    Setup::new().env("WEIRGATE__EVENTS__KEY_DEFAULT", key_default).start().await
}

fn minimal(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "type": "io.cloudevents.test", "source": "https://cloudevents.io" })
}

/// The minimal event with other attributes; null stays null.
#[allow(clippy::needless_pass_by_value, reason = "it is called with a literal")]
fn with(id: &str, more: Value) -> Value {
    let mut event = minimal(id);
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

fn without(name: &str) -> Value {
    let mut event = minimal("invalid");
    event.as_object_mut().expect("an object").remove(name);
    event
}

fn all_core() -> Value {
    let more = json!({
        "datacontenttype": "text/plain", "dataschema": "https://cloudevents.io/dataschema", "subject": "tests",
        "time": "2018-04-05T17:31:00Z",
    });
    with("allCore", more)
}

fn all_extension_types() -> Value {
    let more = json!({
        "extinteger": 10, "extboolean": true, "extstring": "text", "exturi": "https://cloudevents.io",
        "exturiref": "//authority/path", "exttimestamp": "2023-03-31T15:12:00Z", "extbinary": "TWE=",
    });
    with("allExtensionTypes", more)
}

fn valid_events() -> Vec<Value> {
    let nulls = json!({ "datacontenttype": null, "dataschema": null, "subject": null, "time": null });
    let time = |time: &str| with(&format!("minimalWithTime {time}"), json!({ "time": time }));
    vec![
        minimal("minimal"),
        with("minimalWithNulls", nulls),
        all_core(),
        time("2018-04-05T17:31:00Z"),
        time("2018-04-05T17:31:00.000000000Z"),
        time("2018-04-05T18:31:00+01:00"),
        time("2018-04-05T16:31:00-01:00"),
        with("minimalWithRelativeSource", json!({ "source": "#fragment" })),
        with("simpleTextData", json!({ "datacontenttype": "text/plain", "data": "Simple text" })),
        all_extension_types(),
        with("nullData", json!({ "data": null })),
        with("thrift", json!({ "datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": "AP8=" })),
        with("xml", json!({ "datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>", "unset": null })),
        with("string", json!({ "data": "I'm just a string" })),
    ]
}

fn invalid_events() -> Vec<Value> {
    let names = ["specversion", "id", "type", "source"];
    let required = names.into_iter().flat_map(|name| [without(name), with("invalid", json!({ name: "" }))]);
    let times = ["lunchtime", "2018-04-05T18:31Z", "2018-04-05T18:31:00X", "2018-04-05T18:31:00+25:00"];
    let times = times.into_iter().chain(["2018-04-05T18:31:00+xx:00", "2018-04-05T18:31:00+05"]);
    let times = times.map(|time| with("invalid", json!({ "time": time })));
    let others = [
        json!({ "specversion": "0.9" }),
        json!({ "datacontenttype": "xyz" }),
        json!({ "datacontenttype": "" }),
        json!({ "dataschema": "" }),
        json!({ "subject": "" }),
        json!({ "id": 25 }),
        json!({ "id": { "xyz": "abc" } }),
        json!({ "MyExtension": "bad" }),
        json!({ "my.extension": "bad" }),
        json!({ "my.extension": 1.5 }),
        json!({ "myextension": 1.5 }),
        json!({ "data": "text", "data_base64": "eyAieHl6IjogMTIzIH0=" }),
    ];
    required.chain(times).chain(others.into_iter().map(|more| with("invalid", more))).collect()
}

/// The attributes that are there: null means absent, but not as data.
fn present(event: &Value) -> Value {
    let fields = event.as_object().expect("an object").iter();
    fields.filter(|(name, value)| *name == "data" || !value.is_null()).map(|(n, v)| (n.clone(), v.clone())).collect()
}

async fn stored(client: &Client, accepted: &Value) -> Value {
    client.get(&format!("/v1/events/{}", accepted["position"])).await.ok()["event"].clone()
}

async fn send(client: &Client, content_type: &str, body: &Value) -> Answer {
    client.send(Method::POST, "/v1/events", content_type, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_cases_of_the_json_format() {
    let server = server("source").await;
    for event in valid_events() {
        let accepted = send(&server.client, ONE, &event).await.ok()["events"][0].clone();
        assert_eq!(accepted["duplicate"], false, "{event}");
        assert_eq!(stored(&server.client, &accepted).await, present(&event));
    }
    let head = server.client.events().await.len();
    for event in invalid_events() {
        let answer = send(&server.client, ONE, &event).await;
        assert!([400, 422].contains(&answer.status), "{event}: {}", answer.text);
        answer.is_problem(answer.status, answer.code());
    }
    let two = |second: Value| json!([minimal("minimal1"), second]);
    for batch in [
        two(with("minimal2", json!({ "specversion": "0.9" }))),
        json!([without("id")]),
        json!(["not an object", minimal("minimal1")]),
        minimal("no array"),
    ] {
        let answer = send(&server.client, BATCH, &batch).await;
        assert!([400, 422].contains(&answer.status), "{batch}: {}", answer.text);
    }
    assert_eq!(server.client.events().await.len(), head, "what is refused leaves nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_cases_of_batches() {
    let server = server("id").await;
    let minimal = || minimal("minimal");
    for (batch, fresh) in [
        (json!([]), 0),
        (json!([minimal()]), 1),
        (json!([minimal(), minimal()]), 0),
        (json!([minimal(), all_core()]), 1),
        (json!([minimal(), all_extension_types()]), 1),
    ] {
        let answer = send(&server.client, &format!("{BATCH}; charset=UTF-8"), &batch).await.ok();
        let events = answer["events"].as_array().expect("events");
        assert_eq!(events.len(), batch.as_array().expect("a batch").len());
        assert_eq!(events.iter().filter(|event| event["duplicate"] == false).count(), fresh, "{batch}");
        for (event, accepted) in batch.as_array().expect("a batch").iter().zip(events) {
            assert_eq!(stored(&server.client, accepted).await, *event);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_cases_of_the_http_binding() {
    let server = server("source").await;
    let data = "{\n    \"message\": \"Hello World!\"\n}";
    let attributes = |id: &str| {
        json!({
            "specversion": "1.0", "type": "com.example.someevent", "time": "2018-04-05T03:56:24Z", "id": id,
            "source": "/mycontext/subcontext", "data": { "message": "Hello World!" },
        })
    };
    for (id, content_type) in [("b-1", "application/json"), ("b-2", "application/json; charset=utf-8")] {
        let mut request = server.client.request(Method::POST, "/v1/events").header("content-type", content_type);
        for name in ["specversion", "type", "time", "id", "source"] {
            request = request.header(format!("ce-{name}"), attributes(id)[name].as_str().expect("text"));
        }
        let answer = server.client.attempt(request.body(data)).await.expect("an answer").ok();
        let mut expected = attributes(id);
        expected["datacontenttype"] = content_type.into();
        assert_eq!(stored(&server.client, &answer["events"][0]).await, expected);
    }
    for (id, content_type) in [("s-1", ONE.to_owned()), ("s-2", format!("{ONE}; charset=utf-8"))] {
        let mut event = attributes(id);
        event["datacontenttype"] = "application/json".into();
        let answer = send(&server.client, &content_type, &event).await.ok();
        assert_eq!(stored(&server.client, &answer["events"][0]).await, event);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_key_gets_the_configured_one_and_keeps_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = async |key_default: &str| {
        let setup = Setup::new().dir(dir.path().join("data")).env("WEIRGATE__EVENTS__KEY_DEFAULT", key_default);
        setup.start().await
    };
    let keys = async |server: &Server, key: &str| {
        // The handler emits an event for each of these, with the same key.
        let page = server.client.get(&format!("/v1/events?key={key}&type=ledger.add")).await.ok();
        page["events"].as_array().expect("events").len()
    };
    let plain = |id: &str| {
        let mut event = event("ledger.add", "k", id, &json!({ "n": 1 }));
        event.as_object_mut().expect("an object").remove("subject");
        event
    };
    let mut server = start("source").await;
    let ledger = weirgate_guests::build("ledger");
    server.client.deploy(&manifest("ledger", &["ledger.add"]), ledger).await;
    let answer = server.client.publish(&[plain("1")]).await.ok()["events"][0].clone();
    assert_eq!((&answer["key"], &answer["status_url"]), (&json!("/tests"), &json!("/v1/status?subject=%2Ftests")));
    assert_eq!(stored(&server.client, &answer).await, plain("1"), "the event is as it was sent");
    server.client.drained(std::time::Duration::from_secs(30)).await;
    server.terminate().await;
    let mut server = start("id").await;
    let answer = server.client.publish(&[plain("1"), plain("2")]).await.ok()["events"].clone();
    assert_eq!((&answer[0]["duplicate"], &answer[1]["key"]), (&json!(true), &json!("2")));
    assert_eq!((keys(&server, "/tests").await, keys(&server, "2").await), (1, 1));
    server.terminate().await;
    let server = start("refuse").await;
    server.client.publish(&[plain("3")]).await.is_problem(422, "no-key");
    assert_eq!((keys(&server, "/tests").await, keys(&server, "2").await), (1, 1));
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks")
}

async fn run(program: &Path, script: &str, server: &Server, input: &str) -> String {
    run_script(program, &scripts().join(script), server, input).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_the_sdks_come_back_as_they_were_sent() {
    let server = Setup::new().start().await;
    run(Path::new("node"), "cloudevents.mjs", &server, "").await;
    run(&python_program("python3"), "cloudevents_sdk.py", &server, "").await;
}

/// Keys that URL clients could change on the way.
fn nasty_keys() -> Vec<String> {
    let keys = [
        "order/o-1",
        ".",
        "..",
        "a/.",
        "a/..",
        "a/../b",
        "./a",
        "../a",
        "/",
        "//",
        "/a",
        "a/",
        "a//b",
        "/.",
        "%2e",
        "%2e%2E",
        "a/%2e%2e/b",
        "..%2f",
        "%",
        "%%",
        "%41",
        "100%",
        "a%00b",
        "a b",
        " ",
        "+",
        "a+b",
        "?",
        "a?b=c",
        "#",
        "a#b",
        "a?#",
        ";",
        "a;b=c",
        "&",
        "a&after=99",
        "=",
        "\\",
        "a\\..\\b",
        "é",
        "e\u{301}",
        "😀",
        "\u{a0}",
        ":",
        "http://x/",
        "@",
        "a@b",
        "~",
        "!*'()",
        "[]{}|^`<>\"",
        "...",
        ".a",
        "a.",
        "*",
        "$&",
        "subject",
        "?subject=a",
        "events",
        "\u{200b}",
        "a/b/c/d/e",
        "c:/x",
        "\u{feff}",
    ];
    keys.into_iter().map(str::to_owned).chain(["x".repeat(1_024), "€".repeat(341)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_url_of_any_key_works_in_ordinary_clients() {
    let server = Setup::new().start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    let keys = nasty_keys();
    let events: Vec<_> = keys.iter().map(|key| event("ledger.add", key, key, &json!({ "n": 1 }))).collect();
    let accepted = server.client.publish(&events).await.ok()["events"].clone();
    server.client.drained(std::time::Duration::from_secs(60)).await;
    let urls: Vec<_> = accepted.as_array().expect("events").iter().map(|event| event["status_url"].clone()).collect();
    let input = Value::from(urls.clone()).to_string();
    for (program, script) in [("node".into(), "status_urls.mjs"), (python_program("python3"), "status_urls.py")] {
        let output: Vec<String> = serde_json::from_str(&run(&program, script, &server, &input).await).expect("a list");
        assert_eq!(output, keys, "{script}");
    }
    for (key, url) in keys.iter().zip(&urls) {
        let url = url.as_str().expect("a URL");
        assert_eq!(server.client.get(url).await.ok()["subject"], **key, "reqwest, {url}");
        let curl =
            Command::new("curl").args(["--silent", "--globoff", &server.url(url)]).output().await.expect("curl runs");
        let answer: Value = serde_json::from_slice(&curl.stdout).unwrap_or_else(|error| panic!("curl, {url}: {error}"));
        assert_eq!(answer["subject"], **key, "curl, {url}");
    }
    server.client.get("/v1/status").await.is_problem(400, "bad-query");
    server.client.get("/v1/status?subject=a&subject=b").await.is_problem(400, "bad-query");
    server.client.get("/v1/status?subject=a&x=1").await.is_problem(400, "bad-query");
    server.client.get("/v1/status?subject=").await.is_problem(400, "bad-subject");
    server.client.get("/v1/status?subject=absent").await.is_problem(404, "not-found");
    let version = server.client.get("/v1/status?subject=a%2F%2Fb").await.ok()["version"].clone();
    assert_eq!(server.client.get(&format!("/v1/status?subject=a//b&after={version}&wait=10ms")).await.status, 304);
}
