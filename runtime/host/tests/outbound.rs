//! Steps: what is sent, what is recorded, what the guest sees. A real guest against real listeners on loopback, which the
//! host's options allow.

mod support;

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use support::{
    failure,
    fetching::{World, answers, fetch, fetching, run, world},
    journal::Journal,
};
use weirgate_host::{CallError, StateError};
use weirgate_types::{FailureKind, HostCall};

#[track_caller]
fn is_error(answer: &Value, error: &str, says: &str) {
    assert_eq!(answer["error"], error, "{answer}");
    assert!(answer["says"].as_str().unwrap_or_default().contains(says), "{answer}");
}

#[test]
fn a_finished_step_is_kept_and_answered_again() {
    let shop = &world().shop;
    let journal = Journal::default();
    let pay = json!({"step": "pay", "method": "POST", "url": shop.at("/kept/echo?a=b#c"), "body": "12.50",
        "headers": {"X-Currency": "EUR"}});
    let twice = [pay.clone(), pay.clone(), json!({"step": "b", "url": shop.at("/kept/gone")})];
    let first = fetch(&twice, &journal);
    assert_eq!(first[0], first[1], "one name, one answer");
    let again = fetch(&twice, &journal);
    assert_eq!(again[0], first[0]);
    assert_eq!(journal.steps(), ["pay"]);
    let asked = shop.asked("/kept/echo");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        (asked[0].method.as_str(), asked[0].path.as_str(), asked[0].body.as_str()),
        ("POST", "/kept/echo?a=b", "12.50")
    );
    assert_eq!(asked[0].header("x-currency"), Some("EUR"));
    assert_eq!(asked[0].header("host"), Some(format!("127.0.0.1:{}", shop.port).as_str()));
    assert_eq!(asked[0].header("accept-encoding"), None);
    assert_eq!(first[0]["status"], 200);
    assert!(first[0]["body"].as_str().expect("text").contains("12.50"));
    is_error(&again[2], "unreachable", "");
    assert_eq!(shop.asked("/kept/gone").len(), 2, "without an answer there is nothing to keep");
}

#[test]
fn only_final_answers_finish_a_step() {
    let shop = &world().shop;
    for (status, finished) in [
        (200, true),
        (204, true),
        (304, true),
        (400, true),
        (404, true),
        (409, true),
        (422, true),
        (408, false),
        (425, false),
        (429, false),
        (500, false),
        (502, false),
        (503, false),
        (599, false),
    ] {
        let journal = Journal::default();
        let path = format!("/decided/{status}/status/{status}");
        let step = json!({"url": shop.at(&path)});
        for _ in 0..2 {
            let answer = &fetch(std::slice::from_ref(&step), &journal)[0];
            assert_eq!(answer["status"], status, "the guest gets it in any case: {answer}");
        }
        assert_eq!(journal.steps().len(), usize::from(finished), "{status}");
        assert_eq!(shop.asked(&path).len(), if finished { 1 } else { 2 }, "{status}");
    }
}

#[test]
fn the_idempotency_key_is_the_same_in_all_attempts_and_the_guests_own_goes_first() {
    let shop = &world().shop;
    let (ours, own) = (shop.at("/key/status/503"), shop.at("/own-key/status/503"));
    let steps = [
        json!({"step": "pay", "method": "POST", "url": ours}),
        json!({"step": "book", "method": "POST", "url": own, "headers": {"IDEMPOTENCY-KEY": "mine"}}),
    ];
    let journal = Journal::default();
    fetch(&steps, &journal);
    fetch(&steps, &journal);
    let keys = |path| {
        shop.asked(path).iter().map(|asked| asked.header("idempotency-key").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys("/key"), ["hostile@42/pay", "hostile@42/pay"]);
    assert_eq!(keys("/own-key"), ["mine", "mine"]);
}

#[test]
fn no_answer_shows_a_secret_to_the_guest() {
    const SECRET: &str = "sk_live_\"4242\"";
    let shop = &world().shop;
    let journal = Journal::with_secret(SECRET, "authorization", &[shop.at("")]);
    let mut attempt = fetching(
        "fetches",
        &[
            json!({"step": "a", "method": "POST", "url": shop.at("/secret/echo?q={{secret:psp}}"), "body": "{{secret:psp}}",
            "headers": {"Authorization": "Bearer {{secret:psp}}"}}),
            json!({"step": "b", "url": shop.at("/secret/status/500"), "headers": {"authorization": "{{secret:psp}}{{secret:psp}}"}}),
            json!({"step": "c", "url": shop.at("/secret/gone"), "headers": {"authorization": "{{secret:psp}}"}}),
        ],
    );
    attempt.capabilities.secrets = vec!["psp".into()];
    let answers = answers(&attempt, &journal);
    let asked = shop.asked("/secret");
    assert_eq!(asked[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()), "the host gets it");
    assert_eq!(asked[1].header("authorization"), Some(format!("{SECRET}{SECRET}").as_str()));
    assert_eq!(asked[0].body, "{{secret:psp}}", "only headers are filled in");
    assert!(!asked[0].path.contains("sk_live"), "{}", asked[0].path);
    let repeated = answers[0]["headers"].as_array().unwrap().iter().find(|header| header[0] == "x-repeated").unwrap();
    assert_eq!(repeated[1], "Bearer [secret]");
    assert!(answers[0]["body"].as_str().unwrap().contains("Bearer [secret]"), "{}", answers[0]);
    let kept = journal.with(|kept| {
        format!(
            "{:?}",
            kept.steps
                .values()
                .map(|known| &known.answer)
                .map(|answer| String::from_utf8_lossy(&answer.body).into_owned() + &format!("{:?}", answer.headers))
                .collect::<Vec<_>>()
        )
    });
    for seen in [kept, Value::from(answers).to_string()] {
        assert!(!seen.contains("sk_live") && !seen.contains("4242"), "{seen}");
    }
}

#[test]
fn a_secret_that_the_manifest_does_not_name_is_not_sent() {
    let shop = &world().shop;
    let journal = Journal::with_secret("sk_live_4242", "authorization", &[shop.at("")]);
    let step = json!({"url": shop.at("/unnamed/echo"), "headers": {"Authorization": "Bearer {{secret:psp}}"}});
    is_error(&fetch(std::slice::from_ref(&step), &journal)[0], "denied", "add it to capabilities.secrets");
    let mut attempt = fetching("fetches", &[step]);
    attempt.capabilities.secrets = vec!["psp".into()];
    is_error(&answers(&attempt, &Journal::default())[0], "denied", "`psp` is not bound to this handler");
    let elsewhere = [world().other.at(""), "http://shop.test".into()];
    for (header, hosts, says) in [
        ("authorization", &elsewhere[..], "`psp` is not bound to http://127.0.0.1"),
        ("x-key", &[shop.at("")], "`psp` is bound to the header `x-key`"),
    ] {
        let bound_otherwise = Journal::with_secret("sk_live_4242", header, hosts);
        is_error(&answers(&attempt, &bound_otherwise)[0], "denied", says);
    }
    assert!(shop.asked("/unnamed").is_empty());
    assert_eq!(answers(&attempt, &journal)[0]["status"], 200, "named and bound");
}

#[test]
fn forbidden_requests_are_denied() {
    let shop = &world().shop;
    let url = shop.at("/bad/echo");
    let long = shop.at(&format!("/bad/echo?{}", "x".repeat(9_000)));
    let denied = [
        (json!({"url": url, "method": "CONNECT"}), "the method is"),
        (json!({"url": url, "method": "get"}), "the method is"),
        (json!({"url": url, "method": "GET / HTTP/1.1\r\nHost: x"}), "the method is"),
        (json!({"url": url, "headers": {"Host": "evil.example"}}), "`host` is set by the host"),
        (json!({"url": url, "headers": {"Transfer-Encoding": "chunked"}}), "`transfer-encoding` is set by the host"),
        (json!({"url": url, "headers": {"x": "a\r\nHost: evil.example"}}), "control character"),
        (json!({"url": url, "headers": {"a b": "c"}}), "not the name of a header"),
        (json!({"url": url, "headers": {"x": "x".repeat(20_000)}}), "16384"),
        (json!({"url": long}), "at most 8192"),
        (json!({"url": "/bad/echo"}), "cannot be read"),
        (json!({"url": "https://other.example/bad"}), "add \"https://other.example\" to capabilities.hosts"),
    ];
    let fetches: Vec<Value> = denied.iter().map(|(fetch, _)| fetch.clone()).collect();
    for (answer, (_, says)) in fetch(&fetches, &Journal::default()).iter().zip(&denied) {
        is_error(answer, "denied", says);
    }
    assert!(shop.asked("/bad").is_empty());
}

#[test]
fn all_methods_arrive_with_and_without_a_body() {
    let shop = &world().shop;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let with =
        methods.map(|method| json!({"step": method, "method": method, "url": shop.at("/with/echo"), "body": "body"}));
    let without = methods.map(|method| json!({"step": method, "method": method, "url": shop.at("/without/echo")}));
    for (fetches, path, body) in [(with, "/with/", "body"), (without, "/without/", "")] {
        let answers = fetch(&fetches, &Journal::default());
        assert!(answers.iter().all(|answer| answer["status"] == 200), "{answers:?}");
        let asked = shop.asked(path);
        let asked: Vec<_> = asked.iter().map(|asked| (asked.method.as_str(), asked.body.as_str())).collect();
        assert_eq!(asked, methods.map(|method| (method, body)));
    }
}

#[test]
fn an_answer_that_is_too_long_is_not_taken() {
    let shop = &world().shop;
    let steps: Vec<Value> = ["bytes/1000", "bytes/1001", "endless", "headers/40000"]
        .iter()
        .map(|path| json!({"step": path, "url": shop.at(&format!("/long/{path}"))}))
        .collect();
    let mut attempt = fetching("fetches", &steps);
    attempt.limits.outbound_bytes = 1_000;
    let journal = Journal::default();
    let answers = answers(&attempt, &journal);
    assert_eq!(answers[0]["body"].as_str().map(str::len), Some(1_000), "{}", answers[0]);
    answers[1..].iter().for_each(|answer| is_error(answer, "too-large", ""));
    assert_eq!(journal.steps(), ["bytes/1000"]);
}

#[test]
fn too_many_calls_end_the_attempt_and_redirects_count() {
    let shop = &world().shop;
    let call = |n: u32| json!({"step": n.to_string(), "url": shop.at("/many/status/200")});
    let redirect = json!({"step": "r", "url": shop.at("/many/redirect/302?/many/status/200")});
    let mut attempt = fetching("fetches", &[call(1), redirect.clone()]);
    attempt.limits.outbound_calls = 3;
    assert_eq!(answers(&attempt, &Journal::default())[1]["status"], 200, "three calls");
    let mut attempt = fetching("fetches", &[call(1), call(2), redirect]);
    attempt.limits.outbound_calls = 3;
    let journal = Journal::default();
    let failure = failure(run(&attempt, &journal));
    assert_eq!(failure.kind, FailureKind::EffectLimit);
    assert!(failure.message.contains("at most 3 (limits.outbound_calls)"), "{}", failure.message);
    assert_eq!(journal.steps(), ["1", "2"], "what is finished stays finished");
    assert_eq!(answers(&attempt, &journal)[2]["status"], 200, "so the next attempt gets further");
}

#[test]
fn waiting_uses_wall_clock_time_but_no_cpu_time() {
    let shop = &world().shop;
    for path in ["/wait/silent", "/wait/drip"] {
        let mut attempt = fetching("fetches", &[json!({"url": shop.at(path), "timeout_ms": 300})]);
        attempt.limits.cpu_ms = 150;
        let report = run(&attempt, &Journal::default());
        assert_eq!(report.hosts, [HostCall { host: format!("127.0.0.1:{}", shop.port), is_success: false }], "{path}");
        assert!(report.cpu < Duration::from_millis(150), "{path}: {:?}", report.cpu);
        is_error(&answers(&attempt, &Journal::default())[0], "timed-out", "");
    }
    let mut attempt = fetching("fetches", &[json!({"url": shop.at("/wall/silent"), "timeout_ms": 60_000})]);
    attempt.limits.wall_ms = 200;
    let failure = failure(run(&attempt, &Journal::default()));
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("200 ms of wall time"), "{}", failure.message);
}

#[test]
fn redirects_are_followed_and_each_is_checked_again() {
    let World { shop, other, private, .. } = world();
    let to = |path: &str, location: &str| shop.at(&format!("/{path}?{location}"));
    let hops = |n: usize| (0..n).fold(shop.at("/r/echo"), |to, _| shop.at(&format!("/r/redirect/302?{to}")));
    let steps = [
        json!({"step": "post", "method": "POST", "url": to("r/redirect/302", "/r/echo"), "body": "x"}),
        json!({"step": "kept", "method": "POST", "url": to("r/redirect/307", &other.at("/r/echo")), "body": "x"}),
        json!({"step": "5", "url": hops(5)}),
        json!({"step": "6", "url": hops(6)}),
        json!({"step": "private", "url": to("r/redirect/302", &private.at("/"))}),
        json!({"step": "unlisted", "url": to("r/redirect/302", "http://unlisted.test/")}),
        json!({"step": "user", "url": to("r/redirect/302", &other.at("/").replace("//", "//u:p@"))}),
        json!({"step": "file", "url": to("r/redirect/302", "file:///etc/passwd")}),
    ];
    let journal = Journal::default();
    let answers = fetch(&steps, &journal);
    let seen = |n: usize| support::read(answers[n]["body"].as_str().map(str::as_bytes));
    assert_eq!((&seen(0)["method"], &seen(0)["body"]), (&json!("GET"), &json!("")));
    assert_eq!((&seen(1)["method"], &seen(1)["body"]), (&json!("POST"), &json!("x")));
    assert_eq!(answers[2]["status"], 200);
    is_error(&answers[3], "unreachable", "more than 5 redirects");
    is_error(&answers[4], "denied", "not on the public internet: its address is loopback");
    is_error(&answers[5], "denied", "add \"http://unlisted.test\" to capabilities.hosts");
    is_error(&answers[6], "denied", "a user's name or password");
    is_error(&answers[7], "denied", "only http and https");
    assert_eq!(private.connections(), 0);
    assert_eq!(journal.steps(), ["5", "kept", "post"]);
}

#[test]
fn a_redirect_to_another_origin_sends_no_secret() {
    let World { shop, other, .. } = world();
    let headers = json!({"authorization": "Basic eDp5", "x-key": "{{secret:psp}}", "cookie": "a=b", "x-plain": "1"});
    let steps = [
        json!({"step": "other", "url": shop.at(&format!("/o/redirect/307?{}", other.at("/o/echo"))), "headers": headers}),
        json!({"step": "same", "url": shop.at("/o/redirect/307?/o/echo"), "headers": headers}),
    ];
    let mut attempt = fetching("fetches", &steps);
    attempt.capabilities.secrets = vec!["psp".into()];
    // Bound to both, so only the redirect takes it away.
    answers(&attempt, &Journal::with_secret("sk_live_4242", "x-key", &[shop.at(""), other.at("")]));
    let (elsewhere, home) = (&other.asked("/o/echo")[0], &shop.asked("/o/echo")[0]);
    for name in ["authorization", "x-key", "cookie"] {
        assert!(home.header(name).is_some(), "{home:?}");
        assert!(elsewhere.header(name).is_none(), "{elsewhere:?}");
    }
    assert_eq!(elsewhere.header("x-plain"), Some("1"));
    assert_eq!(elsewhere.header("idempotency-key"), home.header("idempotency-key").map(|_| "hostile@42/other"));
}

#[test]
fn an_open_host_breaker_blocks_calls_and_the_failure_spends_no_attempt() {
    let World { shop, other, .. } = world();
    let journal = Journal::default();
    let open = format!("127.0.0.1:{}", shop.port);
    journal.with(|kept| kept.open.insert(open.clone(), 4_500));
    let steps =
        [json!({"step": "a", "url": shop.at("/open/echo")}), json!({"step": "b", "url": other.at("/open/echo")})];
    let answers = fetch(&steps, &journal);
    assert_eq!(answers[0], json!({"error": "circuit-open", "ms": 4_500}));
    assert_eq!(answers[1]["status"], 200, "others may be called");
    assert!(shop.asked("/open").is_empty());
    let report = run(&fetching("fails_after_fetches", &steps), &journal);
    assert_eq!(report.hosts, [], "the breaker of one is open, the other has answered before");
    let found = failure(report);
    assert_eq!((found.kind, found.retry_after_ms), (FailureKind::CircuitOpen, Some(4_500)));
    let found = failure(run(&fetching("fails_after_fetches", &steps[1..]), &journal));
    assert_eq!((found.kind, found.retry_after_ms), (FailureKind::Handler, None), "it met no open circuit");
    assert_eq!(journal.with(|kept| kept.permits.iter().filter(|host| **host == open).count()), 2);
}

#[test]
fn the_report_lists_hosts_and_whether_they_succeeded() {
    let World { shop, other, private, .. } = world();
    let steps = [
        json!({"step": "a", "url": shop.at("/well/status/404")}),
        json!({"step": "b", "url": other.at("/well/status/200")}),
        json!({"step": "c", "url": other.at("/well/status/503")}),
        json!({"step": "d", "url": other.at("/well/status/200")}),
        json!({"step": "e", "url": "http://127.0.0.1:1/"}),
        json!({"step": "f", "url": private.at("/")}),
        json!({"step": "g", "url": "http://unlisted.test/"}),
    ];
    let report = run(&fetching("fetches", &steps), &Journal::default());
    let mut expected = vec![
        HostCall { host: format!("127.0.0.1:{}", shop.port), is_success: true },
        HostCall { host: format!("127.0.0.1:{}", other.port), is_success: false },
        HostCall { host: "127.0.0.1:1".to_owned(), is_success: false },
    ];
    expected.sort();
    assert_eq!(report.hosts, expected);
}

#[test]
fn an_answer_that_cannot_be_recorded_ends_the_call() {
    let journal = Journal::default();
    journal.with(|kept| kept.broken = true);
    let report = run(&fetching("fetches", &[json!({"url": world().shop.at("/broken/echo")})]), &journal);
    assert_eq!(report.result, Err(CallError::State(StateError::new("the log is gone"))));
}

#[test]
fn a_name_is_called_at_the_address_it_has() {
    let shop = &world().shop;
    let steps = ["http", "https"]
        .map(|scheme| json!({"step": scheme, "url": format!("{scheme}://shop.test:{}/name/echo", shop.port)}));
    let answers = fetch(&steps, &Journal::default());
    assert_eq!(answers[0]["status"], 200, "{}", answers[0]);
    assert_eq!(shop.asked("/name")[0].header("host"), Some(format!("shop.test:{}", shop.port).as_str()));
    is_error(&answers[1], "unreachable", "shop.test");
}

/// The test runs itself again, with proxies in its environment that lead nowhere.
#[test]
fn a_proxy_in_the_environment_is_not_used() {
    if std::env::var_os("ALL_PROXY").is_some_and(|proxy| proxy == "http://127.0.0.1:1") {
        assert_eq!(fetch(&[json!({"url": world().shop.at("/proxy/echo")})], &Journal::default())[0]["status"], 200);
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.args(["--exact", "a_proxy_in_the_environment_is_not_used"]);
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy"] {
        again.env(name, "http://127.0.0.1:1");
    }
    let output = again.env_remove("NO_PROXY").env_remove("no_proxy").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
