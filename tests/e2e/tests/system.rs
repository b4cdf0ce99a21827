//! What operators use: health, metrics, the OpenAPI document, traces, a graceful stop, failed starts.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use weirgate_tests::{Client, Live, Server, Setup, binary, event, eventually, free_port, manifest, within};

const PATIENCE: Duration = Duration::from_secs(30);

async fn with_ledger(setup: Setup) -> Server {
    let server = setup.start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server
}

fn entry(n: u64) -> Value {
    event("ledger.add", "account/1", &n.to_string(), &json!({ "n": n }))
}

/// Runs `weirgate serve` where it is expected to fail.
fn serve(args: &[&str], env: &[(&str, &str)]) -> (Output, String) {
    let output = Command::new(binary()).arg("serve").args(args).envs(env.iter().copied()).output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect::<Vec<_>>()
        .join("\n");
    (output, errors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_names_with_units_and_no_keys() {
    let server = with_ledger(Setup::new()).await;
    server.client.accept(entry(1)).await;
    server.client.publish(&[entry(1)]).await.ok();
    server.client.drained(PATIENCE).await;
    let open_metrics = server.client.request(Method::GET, "/metrics").header("accept", "application/openmetrics-text");
    let answer = server.client.attempt(open_metrics).await.expect("an answer");
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    for sample in [
        "weirgate_events_accepted_total 1",
        "weirgate_events_duplicate_total 1",
        "weirgate_deliveries_total{handler=\"ledger\",outcome=\"completed\"} 1",
        "weirgate_attempts_total{handler=\"ledger\",outcome=\"completed\"} 1",
        "weirgate_handler_lag_events{handler=\"ledger\"} 0",
        "weirgate_handler_oldest_open_delivery_age_seconds{handler=\"ledger\"} 0.0",
        "weirgate_handler_open_deliveries{handler=\"ledger\"} 0",
        "weirgate_handler_retrying_deliveries{handler=\"ledger\"} 0",
        "weirgate_live_connections 0",
    ] {
        assert!(answer.text.lines().any(|line| line == sample), "{sample} is missing:\n{}", answer.text);
    }
    for name in [
        "weirgate_log_position",
        "weirgate_log_sync_seconds_bucket",
        "weirgate_attempt_cpu_seconds_total",
        "weirgate_log_batch_records_sum",
    ] {
        assert!(answer.text.contains(name), "{name} is missing");
    }
    assert!(!answer.text.contains("account/1"), "a key is a label");
    assert!(answer.text.ends_with("# EOF\n"));
    assert_eq!((server.client.get("/livez").await.status, server.client.get("/readyz").await.status), (200, 200));
}

/// Every `$ref` below `value`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openapi_document_describes_existing_endpoints() {
    let server = with_ledger(Setup::new()).await;
    let document = server.client.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    let printed = Command::new(binary()).arg("openapi").output().expect("the command line").stdout;
    assert_eq!(serde_json::from_slice::<Value>(&printed).expect("JSON"), document);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 5, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference} leads nowhere");
    }
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            assert!(
                operations.insert(operation["operationId"].as_str().expect("an id").to_owned()),
                "{path}: an id twice"
            );
            check_operation(&server.client, path, method, operation).await;
        }
    }
    assert!(operations.len() >= 15, "{operations:?}");
}

/// The endpoint answers, with a documented status.
async fn check_operation(client: &Client, path: &str, method: &str, operation: &Value) {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut address = path.to_owned();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        let name = format!("{{{}}}", parameter["name"].as_str().expect("a name"));
        assert!(path.contains(&name), "{path} has no {name}");
        address = address.replace(&name, "1");
    }
    assert!(!address.contains('{'), "{path} has parameters that are not described");
    let method: Method = method.to_uppercase().parse().expect("a method");
    let answer = client.send(method.clone(), &address, "application/json", "{}").await;
    let nothing_there = answer.status == 405 || answer.text.contains("there is nothing at");
    assert!(!nothing_there, "{method} {path} is not there: {} {}", answer.status, answer.text);
    let said: Vec<_> = operation["responses"].as_object().expect("responses").keys().cloned().collect();
    let about_input = [400, 404, 415, 422].contains(&answer.status);
    assert!(
        said.contains(&answer.status.to_string()) || about_input,
        "{method} {path} answers {}, of {said:?}",
        answer.status
    );
    if answer.status >= 400 {
        assert!(!answer.code().is_empty(), "{method} {path}: {}", answer.text);
    }
}

/// Receives an OTLP exporter's requests, for ever.
async fn collect(listener: TcpListener, received: Arc<Mutex<Vec<u8>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        while let Some(request) = read_request(&mut stream).await {
            received.lock().expect("a lock").extend(request);
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                break;
            }
        }
    }
}

/// A request with a content length, head and body.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let head = request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        let length =
            text.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
        if head.zip(length).is_some_and(|(head, length)| request.len() >= head + length) {
            return Some(request);
        }
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        request.extend(&chunk[..read]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_exported_as_spans_of_the_producers_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    let received = Arc::new(Mutex::new(Vec::new()));
    let mut collector = JoinSet::new();
    collector.spawn(collect(listener, Arc::clone(&received)));
    let mut server = with_ledger(Setup::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)).await;
    let mut traced = entry(1);
    traced["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
    server.client.accept(traced).await;
    server.client.drained(PATIENCE).await;
    assert!(server.terminate().await.success());
    let received = received.lock().expect("a lock");
    let holds = |bytes: &[u8]| received.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(b"POST /v1/traces"), "{} bytes came", received.len());
    let trace = [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];
    assert!(holds(&trace) && holds(&[0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]), "not of the producer's trace");
    for word in ["weirgate", "attempt", "ledger@", "completed"] {
        assert!(holds(word.as_bytes()), "{word} is missing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_closes_connections_and_loses_nothing() {
    let mut server = with_ledger(Setup::new()).await;
    let mut live = Live::connect(&server.url("")).await;
    live.subscribe(&["account/1"]).await;
    live.receive().await;
    let client = server.client.clone();
    let mut load = JoinSet::new();
    load.spawn(async move {
        let mut accepted = 0;
        while let Some(answer) = client.try_publish(&[entry(accepted + 1)]).await {
            if answer.status != 202 {
                answer.is_problem(503, "stopping");
                break;
            }
            accepted += 1;
        }
        accepted
    });
    server.client.reaches("account/1", "ledger", "counted").await;
    let status = within("a prompt end", Duration::from_secs(8), server.terminate()).await;
    assert!(status.success(), "{status}");
    let (_, code) = live.close_code().await;
    assert_eq!(code, 1001);
    let accepted = load.join_next().await.expect("the load").expect("it ends with the server");
    assert!(accepted > 0);
    server.start().await;
    server.client.drained(PATIENCE).await;
    let part = server.client.status("account/1").await["parts"]["ledger"].clone();
    assert!(part["data"]["count"].as_u64() >= Some(accepted) && part["data"]["breaks"] == 0, "{part}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_data_fails_with_one_line() {
    let server = with_ledger(Setup::new()).await;
    let data = server.dir.to_str().expect("a path").to_owned();
    let listen = format!("127.0.0.1:{}", free_port());
    let (output, errors) = serve(&["--listen", &listen, "--data", &data], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains("in use by another process") && errors.contains(&data) && errors.lines().count() == 1,
        "{errors}"
    );
    server.client.accept(entry(1)).await;
    server.client.reaches("account/1", "ledger", "counted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_settings_and_a_taken_port_are_named() {
    let server = Setup::new().start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data").to_str().expect("a path").to_owned();
    let taken = server.url("").replace("http://", "");
    let (output, errors) = serve(&["--listen", &taken, "--data", &data], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains(&taken), "{errors}");
    let (_, errors) = serve(&["--listen", "127.0.0.1:0", "--data", &data], &[("WEIRGATE__ENGINE__COLOUR", "red")]);
    assert!(errors.contains("colour"), "{errors}");
    let (_, errors) = serve(&["--listen", "127.0.0.1:0", "--data", &data, "--config", "/nowhere/weirgate.toml"], &[]);
    assert!(errors.contains("/nowhere/weirgate.toml"), "{errors}");
    let file = dir.path().join("weirgate.toml");
    std::fs::write(&file, "[server]\ncolour = \"red\"\n").expect("written");
    let (_, errors) = serve(&["--data", &data, "--config", file.to_str().expect("a path")], &[]);
    assert!(errors.contains("the configuration is invalid"), "{errors}");
    eventually("the first to continue", PATIENCE, async || {
        if server.client.get("/readyz").await.status == 200 { Ok(()) } else { Err(()) }
    })
    .await;
}
