//! The rules as tables: which host, which origin, which endpoint.

use axum::http::{Request, Version};

use super::*;

/// A server behind a proxy at 127.0.0.1, known as `shop.example`, that allows the pages of `https://other.example`.
fn access() -> Access {
    let list = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let hosts = list(&["shop.example", "https://tls.example:8443"]);
    Access::new("weirgate.internal:8080", &hosts, &list(&["10.0.0.0/8"]), &list(&["https://other.example"]))
        .expect("good settings")
}

fn judge(request: &str, peer: &str, headers: &[(&str, &str)]) -> String {
    let (method, target) = request.split_once(' ').expect("a method and a target");
    let mut builder = Request::builder().method(method).uri(target).version(Version::HTTP_11);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request = builder.body(()).expect("a request");
    let peer = Peer(peer.parse().expect("an address"));
    match access().judge(&request, peer, Public::of(request.uri().path())) {
        Verdict::Serve => "served".into(),
        Verdict::ServeAnyone => "served to anyone".into(),
        Verdict::ServeAllowed(_) => "allowed".into(),
        Verdict::Preflight(..) => "preflight".into(),
        Verdict::Refuse(problem) => problem.code,
    }
}

#[test]
fn a_host_is_one_of_this_server() {
    for (host, verdict) in [
        ("localhost", "served"),
        ("LOCALHOST.:9999", "served"),
        ("a.localhost", "served"),
        ("127.0.0.1:8080", "served"),
        ("[::1]:8080", "served"),
        ("10.1.2.3", "served"),
        ("shop.example", "served"),
        ("SHOP.example.:8080", "served"),
        ("tls.example", "served"),
        ("weirgate.internal:8080", "served"),
        ("evil.test", "unknown-host"),
        ("evil.test:8080", "unknown-host"),
        ("127.0.0.1.evil.test", "unknown-host"),
        ("localhost.evil.test", "unknown-host"),
        ("evil.shop.example", "unknown-host"),
        ("other.example", "unknown-host"),
        ("127.1", "unknown-host"),
        ("", "bad-host"),
        ("localhost,evil.test", "bad-host"),
        ("localhost evil.test", "bad-host"),
        ("evil.test@localhost", "bad-host"),
        ("::1", "bad-host"),
    ] {
        for request in ["GET /v1/events", "POST /v1/events", "GET /v1/live", "OPTIONS /", "GET /metrics"] {
            assert_eq!(judge(request, "127.0.0.1", &[("host", host)]), verdict, "{request} at {host:?}");
        }
    }
    let judge = |target, headers: &[_]| judge(target, "127.0.0.1", headers);
    assert_eq!(judge("GET /", &[]), "bad-host");
    assert_eq!(judge("GET /", &[("host", "localhost"), ("host", "localhost")]), "bad-host");
    assert_eq!(judge("GET http://localhost/", &[("host", "localhost")]), "served");
    assert_eq!(judge("GET http://localhost/", &[]), "bad-host");
    assert_eq!(judge("GET http://localhost/", &[("host", "evil.test")]), "bad-host");
    assert_eq!(judge("GET http://evil.test/", &[("host", "localhost")]), "bad-host");
    assert_eq!(judge("GET http://evil.test/", &[("host", "evil.test")]), "unknown-host");
    assert_eq!(judge("GET http://a@localhost/", &[("host", "localhost")]), "bad-host");
    assert_eq!(judge("CONNECT evil.test:443", &[("host", "evil.test:443")]), "unknown-host");
}

/// Requests to endpoints for allowed pages, and to others.
const PUBLIC: [&str; 4] =
    ["POST /v1/events", "GET /v1/live", "GET /v1/status/order/o-1", "GET /v1/status?subject=order%2F%2Fo-1"];
const OTHERS: [&str; 6] = [
    "GET /v1/events",
    "POST /v1/handlers/a/pause",
    "PUT /v1/modules",
    "POST /v1/handlers/a/events",
    "GET /metrics",
    "DELETE /v1/status/order/o-1",
];

#[test]
fn pages_of_other_origins_do_what_they_are_allowed() {
    for (host, origin, public, others) in [
        ("localhost:8080", "http://localhost:8080", "served", "served"),
        ("localhost", "http://localhost:80", "served", "served"),
        ("[::1]:8080", "http://[::1]:8080", "served", "served"),
        // Another port, scheme, name or spelling is another origin.
        ("localhost:8080", "http://localhost:3000", "origin-not-allowed", "origin-not-allowed"),
        ("localhost:8080", "http://localhost.:8080", "origin-not-allowed", "origin-not-allowed"),
        ("localhost:8080", "http://127.0.0.1:8080", "origin-not-allowed", "origin-not-allowed"),
        ("localhost:8080", "https://localhost:8080", "origin-not-allowed", "origin-not-allowed"),
        // A configured host is the server's own, also when the proxy sends its own address as the host.
        ("127.0.0.1:8080", "https://shop.example", "served", "served"),
        ("127.0.0.1:8080", "http://shop.example", "served", "served"),
        ("127.0.0.1:8080", "https://tls.example:8443", "served", "served"),
        ("127.0.0.1:8080", "http://tls.example:8443", "origin-not-allowed", "origin-not-allowed"),
        ("127.0.0.1:8080", "https://shop.example:444", "origin-not-allowed", "origin-not-allowed"),
        ("127.0.0.1:8080", "https://unknown.example", "origin-not-allowed", "origin-not-allowed"),
        ("127.0.0.1:8080", "https://shop.example.evil.test", "origin-not-allowed", "origin-not-allowed"),
        ("localhost", "https://other.example", "allowed", "origin-not-allowed"),
        ("localhost", "http://other.example", "origin-not-allowed", "origin-not-allowed"),
        ("localhost", "https://other.example:8443", "origin-not-allowed", "origin-not-allowed"),
        ("localhost", "https://a.other.example", "origin-not-allowed", "origin-not-allowed"),
        ("localhost", "null", "origin-not-allowed", "origin-not-allowed"),
        ("localhost", "", "origin-not-allowed", "origin-not-allowed"),
        ("localhost", "chrome-extension://abc", "origin-not-allowed", "origin-not-allowed"),
    ] {
        for (requests, verdict) in [(&PUBLIC[..], public), (&OTHERS[..], others)] {
            for request in requests {
                let judged = judge(request, "127.0.0.1", &[("host", host), ("origin", origin)]);
                assert_eq!(judged, verdict, "{request} at {host} from {origin:?}");
            }
        }
    }
    let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
    assert_eq!(judge("GET /", "127.0.0.1", &twice), "origin-not-allowed");
}

#[test]
fn anyone_may_read_that_the_process_answers() {
    for (request, host, verdict) in [
        ("GET /livez", "localhost", "served to anyone"),
        ("HEAD /livez", "shop.example", "served to anyone"),
        ("GET /livez", "evil.test", "unknown-host"),
        ("GET /livez", "", "bad-host"),
        ("POST /livez", "localhost", "origin-not-allowed"),
        ("OPTIONS /livez", "localhost", "origin-not-allowed"),
        ("GET /livez/", "localhost", "origin-not-allowed"),
        ("GET /readyz", "localhost", "origin-not-allowed"),
    ] {
        for origin in ["https://evil.test", "null", "https://unknown.example"] {
            assert_eq!(judge(request, "127.0.0.1", &[("host", host), ("origin", origin)]), verdict, "{request}");
        }
    }
}

#[test]
fn preflights_are_answered_for_allowed_pages_only() {
    for (path, origin, verdict) in [
        ("/v1/events", "https://other.example", "preflight"),
        ("/v1/status/a", "https://other.example", "preflight"),
        ("/v1/status?subject=a%2F..", "https://other.example", "preflight"),
        ("/v1/status?subject=a%2F..", "https://evil.test", "origin-not-allowed"),
        ("/v1/live", "https://other.example", "preflight"),
        ("/v1/handlers/a/pause", "https://other.example", "origin-not-allowed"),
        ("/v1/events/1", "https://other.example", "origin-not-allowed"),
        ("/v1/events", "https://evil.test", "origin-not-allowed"),
        ("/v1/events", "null", "origin-not-allowed"),
    ] {
        let asks = [("host", "localhost"), ("origin", origin), ("access-control-request-method", "POST")];
        assert_eq!(judge(&format!("OPTIONS {path}"), "127.0.0.1", &asks), verdict, "{path} {origin}");
    }
    let plain = [("host", "localhost"), ("origin", "https://other.example")];
    assert_eq!(judge("OPTIONS /v1/events", "127.0.0.1", &plain), "allowed");
}

#[test]
fn other_sites_are_refused_without_an_origin_too() {
    for (request, site, mode, dest, verdict) in [
        ("GET /v1/status/a", "cross-site", "no-cors", "image", "origin-not-allowed"),
        ("GET /v1/events", "same-site", "no-cors", "script", "origin-not-allowed"),
        ("POST /v1/handlers/a/pause", "cross-site", "navigate", "document", "origin-not-allowed"),
        ("POST /v1/handlers/a/pause", "cross-site", "no-cors", "empty", "origin-not-allowed"),
        ("GET /shop/", "cross-site", "navigate", "document", "served"),
        ("GET /shop/", "cross-site", "navigate", "iframe", "origin-not-allowed"),
        ("GET /shop/", "none", "navigate", "document", "served"),
        ("GET /shop/assets/a.js", "same-origin", "no-cors", "script", "served"),
        ("POST /v1/events", "same-origin", "cors", "empty", "served"),
    ] {
        let headers =
            [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        assert_eq!(judge(request, "127.0.0.1", &headers), verdict, "{request} {site} {mode} {dest}");
    }
    // It refuses only: behind a proxy, a rebound page's requests are of the same origin for the browser.
    let rebound = [("host", "127.0.0.1"), ("origin", "http://evil.test"), ("sec-fetch-site", "same-origin")];
    assert_eq!(judge("POST /v1/events", "127.0.0.1", &rebound), "origin-not-allowed");
}

#[test]
fn trusted_proxies_say_what_the_browser_saw() {
    let post = |peer, headers: &[(&str, &str)]| judge("POST /v1/handlers/a/pause", peer, headers);
    for (host, origin, forwarded_host, scheme, verdict) in [
        ("10.0.0.1:8080", "https://localhost:8443", "localhost:8443", "https", "served"),
        ("10.0.0.1:8080", "http://localhost:8443", "localhost:8443", "https", "origin-not-allowed"),
        ("10.0.0.1:8080", "https://localhost", "localhost:8443", "https", "origin-not-allowed"),
        ("10.0.0.1:8080", "https://evil.test", "evil.test", "https", "unknown-host"),
        ("evil.test", "http://localhost", "localhost", "http", "unknown-host"),
        ("10.0.0.1:8080", "http://localhost", "a b", "http", "bad-forwarded"),
    ] {
        let headers =
            [("host", host), ("origin", origin), ("x-forwarded-host", forwarded_host), ("x-forwarded-proto", scheme)];
        assert_eq!(post("10.0.0.1", &headers), verdict, "{headers:?}");
    }
    let forged = [("host", "127.0.0.1"), ("origin", "http://evil.test"), ("x-forwarded-host", "evil.test")];
    assert_eq!(post("127.0.0.1", &forged), "origin-not-allowed");
    let passed_on = [("host", "localhost"), ("origin", "https://localhost"), ("x-forwarded-proto", "https")];
    assert_eq!(post("10.0.0.1", &passed_on), "served");
    assert_eq!(post("127.0.0.1", &passed_on), "origin-not-allowed");
}
