//! What every endpoint refuses alike, by the OpenAPI document: unknown parameters, encoded bodies, other methods, arrays in place of
//! objects; what is refused before a body is asked for; errors as problems, each with a page.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeSet, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weirgate_tests::{Client, Server, Setup, event, within};

const PATIENCE: Duration = Duration::from_secs(30);

/// An endpoint of the document, with a value for each parameter of its path.
struct Endpoint {
    method: Method,
    path: String,
    operation: Value,
}

impl Endpoint {
    fn takes_json(&self) -> bool {
        self.operation["requestBody"]["content"].get("application/json").is_some()
    }

    fn has_body(&self) -> bool {
        self.operation["requestBody"].is_object()
    }
}

/// The endpoints, with a valid value for each parameter of a path.
async fn endpoints(client: &Client) -> Vec<Endpoint> {
    let valid = |path: &str, parameter: &Value| match parameter["name"].as_str() {
        _ if parameter["schema"]["type"] == "integer" => "1",
        Some("id") if path.starts_with("/v1/replays/") => "1",
        Some("id") => "a@1",
        Some("kind") => "host",
        _ => "a",
    };
    endpoints_with(client, valid).await
}

async fn endpoints_with(client: &Client, value: impl Fn(&str, &Value) -> &'static str) -> Vec<Endpoint> {
    let document = client.get("/openapi.json").await.ok();
    let paths = document["paths"].as_object().expect("paths").clone();
    let described = paths.into_iter().flat_map(|(path, item)| {
        let operations = item.as_object().expect("operations").clone();
        operations.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    });
    let endpoints = described.map(|(path, method, operation)| {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let named = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let path = named.fold(path, |path, parameter| {
            let value = value(&path, parameter);
            path.replace(&format!("{{{}}}", parameter["name"].as_str().expect("a name")), value)
        });
        Endpoint { method: method.to_uppercase().parse().expect("a method"), path, operation }
    });
    let endpoints: Vec<_> = endpoints.collect();
    assert!(endpoints.len() > 30, "{} endpoints", endpoints.len());
    endpoints
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_takes_an_unknown_parameter() {
    let server = Setup::new().start().await;
    let client = &server.client;
    for Endpoint { method, path, operation } in endpoints(client).await {
        let answer = client.send(method.clone(), &format!("{path}?subjekt=1"), "application/json", "").await;
        answer.is_problem(400, "bad-query");
        let detail = answer.json["detail"].as_str().expect("a detail");
        assert!(detail.contains("\"subjekt\""), "{method} {path}: {detail}");
        for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query") {
            let name = parameter["name"].as_str().expect("a name");
            assert!(detail.contains(&format!("`{name}`")), "{method} {path} does not name {name}: {detail}");
        }
    }
    for path in ["/livez", "/readyz", "/openapi.json"] {
        client.get(&format!("{path}?x")).await.is_problem(400, "bad-query");
    }
    client.get("/v1/events?limit=1&limit=2").await.is_problem(400, "bad-query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_takes_an_encoded_body_or_another_charset() {
    let server = Setup::new().start().await;
    for endpoint in endpoints(&server.client).await.into_iter().filter(Endpoint::has_body) {
        let Endpoint { method, path, .. } = &endpoint;
        let send = async |name: &str, value: &str, content_type: &str| {
            let request = server.client.request(method.clone(), path).header("content-type", content_type);
            server.client.attempt(request.header(name, value).body("{}")).await.expect("an answer")
        };
        for encoding in ["gzip", "br, identity", "unknown"] {
            let answer = send("content-encoding", encoding, "application/json").await;
            answer.is_problem(415, "unsupported-content-encoding");
            assert_eq!(answer.header("accept-encoding"), "identity", "{method} {path}");
        }
        let plain = send("content-encoding", "identity", "application/json").await;
        assert_ne!(plain.code(), "unsupported-content-encoding", "{method} {path}");
        if endpoint.takes_json() {
            let other = send("x-none", "1", "application/json; charset=iso-8859-1").await;
            other.is_problem(415, "unsupported-charset");
            send("x-none", "1", "text/plain").await.is_problem(415, "bad-json");
            let twice = server.client.request(method.clone(), path).header("content-type", "application/json");
            let twice = server.client.attempt(twice.header("content-type", "application/json").body("{}")).await;
            twice.expect("an answer").is_problem(400, "bad-json");
            let cased = send("x-none", "1", "Application/JSON ; charset=\"UTF-8\"").await;
            assert_ne!(cased.status, 415, "{method} {path}: {}", cased.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_refused_with_those_that_there_are() {
    let server = Setup::new().start().await;
    let endpoints = endpoints(&server.client).await;
    let paths: BTreeSet<_> = endpoints.iter().map(|endpoint| endpoint.path.clone()).collect();
    for path in paths {
        let methods: Vec<_> = endpoints.iter().filter(|one| one.path == path).map(|one| one.method.clone()).collect();
        for method in [Method::DELETE, Method::PATCH, Method::PUT].into_iter().filter(|one| !methods.contains(one)) {
            let answer = server.client.send(method.clone(), &path, "application/json", "{}").await;
            answer.is_problem(405, "method-not-allowed");
            let allow = answer.header("allow");
            let allowed: Vec<_> = allow.split(',').map(str::trim).collect();
            assert!(methods.iter().all(|one| allowed.contains(&one.as_str())), "{method} {path}: {allow:?}");
            assert!(!allowed.contains(&method.as_str()), "{method} {path}: {allow:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_array_is_no_object_in_any_body() {
    let server = Setup::new().start().await;
    let client = &server.client;
    for Endpoint { method, path, .. } in endpoints(client).await.into_iter().filter(Endpoint::takes_json) {
        for body in ["[]", "[null]", "[null,null,null,null,null,null,null,null,null,null]", "[\"a\",\"b\"]"] {
            let answer = client.send(method.clone(), &path, "application/json", body).await;
            assert_eq!(answer.code(), "bad-json", "{method} {path} {body}: {}", answer.text);
        }
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let deployed = |manifest: Value| ("PUT", "/v1/handlers/a", json!({ "digest": digest, "manifest": manifest }));
    let manifest = |name: &str, value: Value| {
        let mut manifest = json!({ "name": "a", "subscriptions": [{ "types": ["t"] }] });
        manifest[name] = value;
        deployed(manifest)
    };
    for (method, path, body) in [
        deployed(json!(["a"])),
        manifest("subscriptions", json!([[["t"]]])),
        manifest("retry", json!([[1, 1, 1, 1]])),
        manifest("limits", json!([])),
        manifest("capabilities", json!([])),
        manifest("breaker", json!([1, 1, 1.0, 1, 1])),
        manifest("batch", json!([1])),
        manifest("schedules", json!([["s", "* * * * *"]])),
        manifest("resequence", json!([1, 1])),
        ("POST", "/v1/dead-letters/bulk-jobs", json!({ "filter": [], "command": "retry" })),
        ("POST", "/v1/deliveries/a@1/resolve", json!({ "events": [["1.0"]] })),
    ] {
        let method: Method = method.parse().expect("a method");
        let answer = client.send(method, path, "application/json", body.to_string()).await;
        assert_eq!(answer.code(), "bad-json", "{path} {body}: {}", answer.text);
    }
}

/// What a request with this head, which waits for `100 Continue`, is answered first.
async fn first_line(server: &Server, head: &str) -> String {
    let mut stream = server.connect().await;
    let authority = server.url("").replace("http://", "");
    let request =
        format!("{head}host: {authority}\r\nexpect: 100-continue\r\n\r\n").replace('\n', "\r\n").replace("\r\r", "\r");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut bytes = vec![0; 4096];
    let read = within("an answer", PATIENCE, stream.read(&mut bytes)).await.expect("readable");
    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_will_be_refused_is_not_asked_for() {
    let server = Setup::new().start().await;
    let structured = "content-type: application/cloudevents+json\n";
    for (head, status) in [
        (format!("POST /v1/events HTTP/1.1\n{structured}content-length: 10\n"), 100),
        (format!("POST /v1/events HTTP/1.1\n{structured}transfer-encoding: chunked\n"), 100),
        (format!("POST /v1/events HTTP/1.1\n{structured}content-length: 4194305\n"), 413),
        (format!("POST /v1/events?x=1 HTTP/1.1\n{structured}content-length: 10\n"), 400),
        (format!("POST /v1/events HTTP/1.1\n{structured}content-encoding: gzip\ncontent-length: 10\n"), 415),
        ("POST /v1/events HTTP/1.1\ncontent-type: text/plain\ncontent-length: 10\n".to_owned(), 415),
        (
            "POST /v1/events HTTP/1.1\ncontent-type: application/cloudevents+json;charset=x\ncontent-length: 10\n"
                .to_owned(),
            415,
        ),
        ("POST /v1/events HTTP/1.1\nce-id: %ff\ncontent-length: 10\n".to_owned(), 400),
        (format!("POST /v1/handlers/absent/events HTTP/1.1\n{structured}content-length: 10\n"), 404),
        (format!("POST /v1/handlers/ABSENT/events HTTP/1.1\n{structured}content-length: 10\n"), 400),
        (format!("POST /v1/nowhere HTTP/1.1\n{structured}content-length: 10\n"), 404),
        (format!("DELETE /v1/events HTTP/1.1\n{structured}content-length: 10\n"), 405),
        ("PUT /v1/handlers/a HTTP/1.1\ncontent-type: text/plain\ncontent-length: 10\n".to_owned(), 415),
        ("PUT /v1/handlers/a HTTP/1.1\ncontent-type: application/json\ncontent-length: 10\n".to_owned(), 100),
        ("POST /v1/deliveries/a@1/skip HTTP/1.1\ncontent-type: text/plain\ncontent-length: 10\n".to_owned(), 415),
        (
            "POST /v1/deliveries/a@1/skip HTTP/1.1\ncontent-type: text/plain\ntransfer-encoding: chunked\n".to_owned(),
            415,
        ),
        ("PUT /v1/modules HTTP/1.1\ncontent-length: 33554433\n".to_owned(), 413),
        ("PUT /v1/modules HTTP/1.1\ncontent-encoding: br\ncontent-length: 10\n".to_owned(), 415),
        ("PUT /v1/modules HTTP/1.1\ncontent-type: text/html\ncontent-length: 10\n".to_owned(), 415),
        ("PUT /v1/modules HTTP/1.1\ncontent-type: application/wasm\ncontent-length: 10\n".to_owned(), 100),
        (
            "POST /v1/handlers/absent/pause HTTP/1.1\ncontent-type: application/json\ncontent-length: 10\n".to_owned(),
            404,
        ),
        (
            "POST /v1/deliveries/a@1/retry HTTP/1.1\ncontent-type: application/json\ncontent-length: 10\n".to_owned(),
            100,
        ),
        (
            "POST /v1/breakers/host/a.example/trip HTTP/1.1\ncontent-type: application/json\ncontent-length: 10\n"
                .to_owned(),
            100,
        ),
    ] {
        let line = first_line(&server, &head).await;
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {line}");
    }
    let mut malformed = 0;
    let described = endpoints_with(&server.client, |_, _| "~").await;
    for endpoint in described.into_iter().filter(|one| one.has_body() && one.path.contains('~')) {
        let Endpoint { method, path, operation } = &endpoint;
        let content = operation["requestBody"]["content"].as_object().expect("content");
        for content_type in content.keys().filter(|name| *name != "application/octet-stream") {
            let head = format!("{method} {path} HTTP/1.1\ncontent-type: {content_type}\ncontent-length: 10\n");
            let line = first_line(&server, &head).await;
            assert!(line.starts_with("HTTP/1.1 400 "), "{head}: {line}");
            malformed += 1;
        }
    }
    assert!(malformed >= 15, "{malformed} requests");
}

/// The status of a request with a head of this many bytes, or with this many fields.
async fn status_of(server: &Server, head: &str) -> u16 {
    let mut stream = server.connect().await;
    // It may refuse before it has read all.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 64];
    let count = within("an answer", PATIENCE, stream.read(&mut answer)).await.expect("readable");
    let line = String::from_utf8_lossy(&answer[..count]).into_owned();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_a_limit_to_the_byte() {
    const START: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n";
    let server = Setup::new().start().await;
    for (bytes, status) in [(65_535, 200), (65_536, 200), (65_537, 431), (100_000, 431), (131_072, 431), (200_000, 431)]
    {
        let head = format!("{START}x: {}\r\n\r\n", "y".repeat(bytes - START.len() - "x: \r\n\r\n".len()));
        assert_eq!((head.len(), status_of(&server, &head).await), (bytes, status));
    }
    for (fields, status) in [(100, 200), (101, 431)] {
        let head = (1..fields).map(|n| format!("x-{n}: 1\r\n")).collect::<Vec<_>>().concat();
        assert_eq!(status_of(&server, &format!("{START}{head}\r\n")).await, status, "{fields} fields");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_problems_and_each_has_a_page() {
    let shop = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(shop.path().join("assets")).expect("a directory");
    for file in ["index.html", "assets/a.js"] {
        std::fs::write(shop.path().join(file), "content").expect("a file");
    }
    let server = Setup::new().arg("--shop").arg(shop.path().to_str().expect("a path")).start().await;
    let client = &server.client;
    let long = |bytes: usize| format!("/v1/events?key={}", "x".repeat(bytes - "/v1/events?key=".len()));
    let mut problems = Vec::new();
    for (method, path, status, code) in [
        (Method::GET, "/nowhere", 404, "not-found"),
        (Method::GET, "/v1/", 404, "not-found"),
        (Method::GET, "/v1/events/", 404, "not-found"),
        (Method::GET, "/v1/status/%ff", 400, "bad-path"),
        (Method::GET, "/v1/events/99", 404, "not-found"),
        (Method::GET, "/v1/events?limit=-1", 400, "bad-query"),
        (Method::GET, &long(32 * 1024 + 1), 414, "target-too-long"),
        (Method::GET, "/problems/none", 404, "not-found"),
        (Method::POST, "/problems", 405, "method-not-allowed"),
        (Method::GET, "/shop/assets/none.js", 404, "not-found"),
        (Method::GET, "/shop/assets/none/", 404, "not-found"),
        (Method::POST, "/shop/", 405, "method-not-allowed"),
        (Method::DELETE, "/shop/assets/a.js", 405, "method-not-allowed"),
        (Method::POST, "/v1/events", 415, "unsupported-content-type"),
    ] {
        let answer = client.attempt(client.request(method.clone(), path)).await.expect("an answer");
        let shown = path.get(..60).unwrap_or(path);
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {shown}: {}", answer.text);
        answer.is_problem(status, code);
        assert!(!answer.header("cache-control").contains("max-age"), "{method} {shown} is cached");
        assert!(status != 405 || answer.header("allow").contains("GET"), "{method} {shown}: {:?}", answer.headers);
        problems.push(answer.json);
    }
    assert_eq!(client.get(&long(32 * 1024)).await.status, 200, "at its maximum");
    let asset = client.get("/shop/assets/a.js").await;
    assert_eq!((asset.status, asset.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    assert_eq!(client.get("/shop/").await.header("cache-control"), "no-cache");
    let missing = client.get("/shop/none.html").await;
    assert_eq!((missing.status, missing.header("cache-control")), (404, "no-store"), "the shop's page says so");
    assert!(missing.header("content-type").starts_with("text/html"), "{}", missing.text);
    let beyond = client.request(Method::GET, "/shop/assets/a.js").header("range", "bytes=99-");
    client.attempt(beyond).await.expect("an answer").is_problem(416, "bad-range");
    problems.push(client.publish(&[event("t", "", "1", &json!({}))]).await.json);
    for problem in problems {
        let page = client.get(problem["type"].as_str().expect("a type")).await;
        assert_eq!(page.status, StatusCode::OK, "{problem}");
        assert!(page.header("content-type").starts_with("text/html"), "{}", page.text);
        assert!(
            page.text.contains(&format!("<code>{}</code>", problem["code"].as_str().expect("a code"))),
            "{problem}"
        );
    }
    let all = client.get("/problems").await;
    let links: Vec<_> = all.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() > 60, "{links:?}");
    for link in links {
        assert_eq!(client.get(link).await.status, 200, "{link}");
    }
}
