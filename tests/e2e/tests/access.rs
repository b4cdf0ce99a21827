//! Which requests are answered: hosts, origins, preflights, and pages of other sites in a real browser.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{path::Path, process::Stdio, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};
use weirgate_tests::{Answer, Server, Setup, event, free_port, manifest, within};

const PATIENCE: Duration = Duration::from_secs(30);
const JOURNEY_PATIENCE: Duration = Duration::from_secs(150);
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: weirgate.v1\r\n";
const EVENTS: &str = "Accept: text/event-stream\r\n";
const ALLOWED: &str = "https://other.example";

async fn with_ledger(setup: Setup) -> Server {
    let server = setup.start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server
}

fn entry(n: u64) -> Value {
    event("ledger.add", "account/1", &n.to_string(), &json!({ "n": n }))
}

/// Sends these bytes, and returns the answer up to its end, or for an upgrade up to the end of its head.
async fn raw(server: &Server, request: &str) -> String {
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.expect("a connection");
    let mut answer = Vec::new();
    let ended = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.to_lowercase().split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
        (body.len() >= length).then_some(())
    };
    let read = async {
        let mut chunk = [0; 4096];
        while ended(&answer).is_none() && !answer.starts_with(b"HTTP/1.1 101") {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
            }
        }
    };
    within("an answer", PATIENCE, read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Each method of each path that the server's own description names, and what it does not describe.
async fn targets(server: &Server) -> Vec<(String, String, &'static str)> {
    let document = server.client.get("/openapi.json").await.ok();
    let mut targets = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path =
            path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/");
        for (method, operation) in item.as_object().expect("operations") {
            for refusal in ["400", "403", "421"] {
                assert!(operation["responses"][refusal].is_object(), "{method} {path} does not describe {refusal}");
            }
            targets.push((method.to_uppercase(), path.clone(), ""));
        }
    }
    assert!(targets.len() >= 30, "{targets:?}");
    for path in [
        "/",
        "/shop",
        "/shop/",
        "/shop/index.html",
        "/shop/assets/a.js",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/metrics",
        "/nothing",
    ] {
        targets.extend(["GET", "HEAD", "POST", "OPTIONS"].map(|method| (method.to_owned(), path.to_owned(), "")));
    }
    targets.push(("GET".into(), "/v1/live".into(), UPGRADE));
    targets.push(("GET".into(), "/v1/live?subject=account/1".into(), EVENTS));
    targets.push(("OPTIONS".into(), "*".into(), ""));
    targets.push((
        "OPTIONS".into(),
        "/v1/events".into(),
        "Origin: https://other.example\r\nAccess-Control-Request-Method: POST\r\n",
    ));
    targets
}

/// A folder with the pages of a shop.
fn shop(dir: &Path) -> Setup {
    let root = dir.join("shop");
    std::fs::create_dir_all(root.join("assets")).expect("a folder");
    std::fs::write(root.join("index.html"), "<!doctype html><title>A shop</title>").expect("a page");
    std::fs::write(root.join("assets/a.js"), "1").expect("an asset");
    Setup::new().arg("--shop").arg(root.to_str().expect("a path")).env("WEIRGATE__LIVE__ORIGINS", ALLOWED)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_answers_for_a_foreign_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = with_ledger(shop(dir.path())).await;
    let port = server.url("").rsplit(':').next().expect("a port").to_owned();
    for (method, path, headers) in targets(&server).await {
        for host in ["evil.test".to_owned(), format!("evil.test:{port}"), format!("127.0.0.1.evil.test:{port}")] {
            for origin in [String::new(), format!("Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n")] {
                let answer = raw(
                    &server,
                    &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{origin}{headers}Connection: close\r\n\r\n"),
                )
                .await;
                assert_eq!(status(&answer), 421, "{method} {path} at {host}: {answer}");
                assert!(method == "HEAD" || answer.contains("\"unknown-host\""), "{method} {path}: {answer}");
                assert!(!answer.to_lowercase().contains("access-control-allow"), "{method} {path}: {answer}");
            }
        }
    }
    assert_eq!(server.client.handler("ledger").await["state"], "running");
    assert!(server.client.events().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host_of_this_server() {
    let server = Setup::new().env("WEIRGATE__SERVER__HOSTS", "shop.example,weirgate:8080").start().await;
    for (head, expected) in [
        ("GET /livez HTTP/1.1\r\nHost: localhost", 200),
        ("GET /livez HTTP/1.1\r\nhOsT:LOCALHOST.:1", 200),
        ("GET /livez HTTP/1.1\r\nHost: [::1]:8080", 200),
        ("GET /readyz HTTP/1.1\r\nHost: 10.244.1.7:8080", 200),
        ("GET /livez HTTP/1.1\r\nHost: Shop.Example:444", 200),
        ("GET /livez HTTP/1.1\r\nHost: weirgate", 200),
        ("GET /livez HTTP/1.0\r\nHost: localhost", 200),
        ("GET http://localhost/livez HTTP/1.1\r\nHost: localhost", 200),
        ("GET /livez HTTP/1.1", 400),
        ("GET /livez HTTP/1.0", 400),
        ("GET /livez HTTP/1.1\r\nHost:", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.test", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost, evil.test", 400),
        ("GET /livez HTTP/1.1\r\nHost: ::1", 400),
        ("GET /livez HTTP/1.1\r\nHost: [::1", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost:99999", 400),
        ("GET /livez HTTP/1.1\r\nHost: a@localhost", 400),
        ("GET /livez HTTP/1.1\r\nHost: http://localhost", 400),
        ("GET http://localhost/livez HTTP/1.1\r\nHost: evil.test", 400),
        ("GET http://evil.test/livez HTTP/1.1\r\nHost: localhost", 400),
        ("GET http://evil.test/livez HTTP/1.1\r\nHost: evil.test", 421),
        ("CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test:80", 421),
        ("GET /livez HTTP/1.1\r\nHost: 127.1", 421),
        ("GET /livez HTTP/1.1\r\nHost: a.shop.example", 421),
        // From an address that is no trusted proxy it changes nothing.
        ("GET /livez HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost", 421),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.test", 200),
    ] {
        let answer = raw(&server, &format!("{head}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), expected, "{head:?}: {answer}");
        assert!(expected == 200 || answer.contains("application/problem+json"), "{head:?}: {answer}");
    }
}

async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = server.client.request(method, path).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.client.attempt(request).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowed_pages_get_cors_for_publishing_and_statuses() {
    let server = with_ledger(Setup::new().env("WEIRGATE__LIVE__ORIGINS", ALLOWED)).await;
    let preflight = [
        ("origin", ALLOWED),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "ce-id,ce-tenant,content-type,authorization"),
    ];
    let answer = ask(&server, Method::OPTIONS, "/v1/events", &preflight, "").await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), ALLOWED);
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert_eq!(answer.header("access-control-allow-headers"), "ce-id, ce-tenant, content-type");
    assert_eq!(answer.header("access-control-max-age"), "7200");
    let preflight = [
        ("origin", ALLOWED),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "if-none-match"),
    ];
    for path in ["/v1/status/account/1", "/v1/status?subject=account%2F..%2F1"] {
        let answer = ask(&server, Method::OPTIONS, path, &preflight, "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, "GET, HEAD"), "{path}");
    }
    let structured = ("content-type", "application/cloudevents+json");
    let first = entry(1).to_string();
    for (method, path, headers, body, expected) in [
        (Method::POST, "/v1/events", vec![structured], first.as_str(), 202),
        (Method::POST, "/v1/events", vec![structured], "{", 400),
        (Method::GET, "/v1/status/account/1?after=0&wait=20s", vec![], "", 200),
        (Method::HEAD, "/v1/status/account/1", vec![], "", 200),
        (Method::GET, "/v1/status/account/1?after=99999999", vec![], "", 304),
        (Method::GET, "/v1/status/account/2", vec![], "", 404),
        (Method::GET, "/v1/status?subject=account%2F1", vec![], "", 200),
        (Method::HEAD, "/v1/status?subject=account%2F1", vec![], "", 200),
        (Method::GET, "/v1/status?subject=account%2F%2F1", vec![], "", 404),
        (Method::GET, "/v1/live", vec![], "", 400),
    ] {
        let with = |origin: Option<&'static str>| {
            let mut headers = headers.clone();
            headers.extend(origin.map(|origin| ("origin", origin)));
            headers
        };
        let allowed = ask(&server, method.clone(), path, &with(Some(ALLOWED)), body).await;
        assert_eq!(allowed.status, expected, "{method} {path}: {}", allowed.text);
        assert_eq!(allowed.header("access-control-allow-origin"), ALLOWED, "{method} {path}");
        assert_eq!(allowed.header("access-control-expose-headers"), "etag, location, retry-after");
        let foreign = ask(&server, method.clone(), path, &with(Some("https://evil.example")), body).await;
        assert_eq!(foreign.status, 403, "{method} {path}: {}", foreign.text);
        let program = ask(&server, method.clone(), path, &with(None), body).await;
        assert_eq!(program.status, expected, "{method} {path}: {}", program.text);
        assert!(program.headers.get("access-control-allow-origin").is_none());
        for answer in [allowed, foreign, program] {
            let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
            assert!(vary.iter().any(|line| line.as_bytes() == b"origin"), "{method} {path}: {vary:?}");
        }
    }
    let mut events = server.client.request(Method::GET, "/v1/live?subject=account/1").header("origin", ALLOWED);
    events = events.header("accept", "text/event-stream");
    let stream = events.send().await.expect("a stream");
    for (name, value) in [("access-control-allow-origin", ALLOWED), ("x-accel-buffering", "no"), ("vary", "origin")] {
        assert_eq!(stream.headers()[name], value);
    }
}

/// Each way in which a page sends a request without a preflight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_change_nothing_by_simple_requests() {
    let server = with_ledger(Setup::new().env("WEIRGATE__LIVE__ORIGINS", ALLOWED)).await;
    let own = server.url("");
    for (method, path, _) in targets(&server).await {
        let is_public = matches!(path.as_str(), "/v1/events" | "/v1/live" | "/v1/status" | "/v1/status/1");
        for origin in [ALLOWED, "https://evil.example", "null", "http://localhost:1"] {
            if origin == ALLOWED && is_public || path.contains('?') || path == "*" {
                continue;
            }
            if path == "/livez" && ["GET", "HEAD"].contains(&method.as_str()) {
                let answer = ask(&server, method.parse().expect("a method"), &path, &[("origin", origin)], "").await;
                assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"), "{method}");
                assert!(answer.text == "ok\n" || method == "HEAD", "it says more: {}", answer.text);
                continue;
            }
            for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json"] {
                let headers = [("origin", origin), ("content-type", content_type)];
                let answer = ask(&server, method.parse().expect("a method"), &path, &headers, "{}").await;
                assert_eq!(answer.status, 403, "{method} {path} from {origin}: {}", answer.text);
                assert!(answer.headers.get("access-control-allow-origin").is_none(), "{method} {path}");
            }
        }
    }
    assert_eq!(server.client.handler("ledger").await["state"], "running");
    let unsent = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "empty")];
    ask(&server, Method::POST, "/v1/handlers/ledger/pause", &unsent, "").await.is_problem(403, "origin-not-allowed");
    // The server's own page, and a program.
    let own = [("origin", own.as_str()), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    assert_eq!(ask(&server, Method::POST, "/v1/handlers/ledger/pause", &own, "{}").await.json["state"], "paused");
    assert_eq!(ask(&server, Method::POST, "/v1/handlers/ledger/resume", &[], "").await.json["state"], "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_pages_are_the_servers_own_if_its_host_is_configured() {
    let pause = async |server: &Server, headers: &[(&str, &str)]| {
        ask(server, Method::POST, "/v1/handlers/ledger/pause", headers, "").await.status
    };
    let plain = [("origin", "https://shop.example"), ("sec-fetch-site", "same-origin")];
    let forwarded = [("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https"), plain[0]];
    let standard = [("forwarded", "for=203.0.113.9;host=shop.example;proto=https"), plain[0]];
    let elsewhere = [("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "https"), plain[0]];
    let server = with_ledger(Setup::new()).await;
    for headers in [&plain[..], &forwarded, &standard] {
        assert_eq!(pause(&server, headers).await, 403, "{headers:?}: nothing is configured");
    }
    let server = with_ledger(Setup::new().env("WEIRGATE__SERVER__HOSTS", "shop.example")).await;
    assert_eq!(pause(&server, &plain).await, 200);
    assert_eq!(pause(&server, &[("origin", "https://evil.example")]).await, 403);
    let trusting = Setup::new().env("WEIRGATE__SERVER__PROXIES", "127.0.0.0/8");
    let server = with_ledger(trusting.env("WEIRGATE__SERVER__HOSTS", "https://shop.example")).await;
    for headers in [&forwarded[..], &standard] {
        assert_eq!(pause(&server, headers).await, 200, "{headers:?}");
    }
    assert_eq!(pause(&server, &elsewhere).await, 421);
}

/// Pages of an allowed origin, of another one, and of a name that was rebound to this server, in Chromium.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_in_a_browser() {
    let dir = tempfile::tempdir().expect("a directory");
    let pages = free_port();
    let setup = shop(dir.path()).env("WEIRGATE__LIVE__ORIGINS", format!("http://shop.test:{pages}"));
    let server = with_ledger(setup).await;
    let journey = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/origins.mjs");
    let mut command = Command::new("node");
    command.arg(journey).arg(server.url("")).arg(pages.to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let status = within("the journey", JOURNEY_PATIENCE, command.status()).await.expect("node runs");
    assert!(status.success(), "the journey failed: {status}");
}
