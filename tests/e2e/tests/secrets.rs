//! Secrets go where the operator binds them: to handlers, hosts and a header. Checked at the start, at a deployment, and at
//! each call.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Gateway, Setup, binary, event, eventually, free_port, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "sk_live_4242";

/// The manifest of a handler that calls the gateway, with this secret in its `Authorization`.
fn caller(name: &str, secret: &str, hosts: &[String], gateway: &Gateway) -> Value {
    let mut manifest = manifest(name, &["mend.charge"]);
    manifest["capabilities"] = json!({ "hosts": hosts, "secrets": [secret] });
    manifest["config"] = json!({ "gateway_url": gateway.url() });
    manifest["retry"] = json!([{ "attempts": 1, "first_delay_ms": 1, "delay_ms_max": 1 }]);
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_names_only_secrets_that_are_bound_to_it() {
    let gateway = Gateway::start().await;
    let server = Setup::new()
        .env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host())
        .env("WEIRGATE__SECRETS__GATEWAY", SECRET)
        .env("WEIRGATE__SECRETS__GATEWAY__HANDLERS", "mender,other")
        .env("WEIRGATE__SECRETS__GATEWAY__HOSTS", gateway.url())
        .env("WEIRGATE__SECRETS__LOOSE", SECRET)
        .start()
        .await;
    let wasm = weirgate_guests::build("mender");
    let digest = server.client.upload(wasm).await.ok()["digest"].clone();
    let elsewhere = ["https://evil.example".to_owned()];
    let here = [gateway.url()];
    for (name, secret, hosts, says) in [
        ("thief", "gateway", &here, "`gateway` is not bound to the handler thief"),
        ("mender", "loose", &here, "`loose` is not bound to the handler mender"),
        ("mender", "unknown", &here, "`unknown` is not bound to the handler mender"),
        ("mender", "gateway", &elsewhere, "`gateway` is bound to http://127.0.0.1"),
    ] {
        let answer = server.client.redeploy(&caller(name, secret, hosts, &gateway), &digest).await;
        answer.is_problem(422, "secret-not-bound");
        assert!(answer.text.contains(says) && !answer.text.contains(SECRET), "{}", answer.text);
    }
    server.client.redeploy(&caller("mender", "gateway", &here, &gateway), &digest).await.ok();
    server.client.accept(event("mend.charge", "order/1", "1", &json!({ "amount": 1 }))).await;
    server.client.reaches("order/1", "mender", "charged").await;
    let asked = gateway.requests("/charge");
    assert_eq!(asked[0].header("authorization"), format!("Bearer {SECRET}"));
}

/// A deployment lives longer than the configuration that allowed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_uses_only_secrets_that_are_still_bound() {
    let gateway = Gateway::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let setup = |part: &str, value: &str| {
        Setup::new()
            .dir(dir.path().join("data"))
            .env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host())
            .env("WEIRGATE__SECRETS__GATEWAY", SECRET)
            .env("WEIRGATE__SECRETS__GATEWAY__HANDLERS", "mender")
            .env("WEIRGATE__SECRETS__GATEWAY__HOSTS", gateway.url())
            .env(&format!("WEIRGATE__SECRETS__GATEWAY__{part}"), value)
            .expect_line("attempt")
    };
    let mut server = setup("HEADER", "authorization").start().await;
    let manifest = caller("mender", "gateway", &[gateway.url()], &gateway);
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    for (n, (part, value, says)) in [
        ("HANDLERS", "other", "is not bound to this handler"),
        ("HOSTS", "https://psp.example", "is not bound to http://127.0.0.1"),
        ("HEADER", "x-api-key", "is bound to the header `x-api-key`"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(server.terminate().await.success());
        server = setup(part, value).start().await;
        let position = server
            .client
            .accept(event("mend.charge", &format!("order/{n}"), &n.to_string(), &json!({ "amount": 1 })))
            .await;
        let told = eventually("the delivery to fail", PATIENCE, async || {
            let answer = server.client.get(&format!("/v1/dead-letters/mender@{position}")).await;
            if answer.status == 200 { Ok(answer.text) } else { Err(answer.text) }
        })
        .await;
        assert!(told.contains(says) && !told.contains(SECRET), "{part}: {told}");
    }
    assert!(gateway.requests("/").is_empty(), "nothing was sent");
}

#[test]
fn a_secret_that_can_be_guessed_stops_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    for (name, value, says) in [
        ("WEIRGATE__SECRETS__PIN", "1234567", "`secrets.pin`: the value is 7 bytes long; at least 8"),
        ("WEIRGATE__SECRETS__PIN", "", "the value is 0 bytes long"),
        ("WEIRGATE__SECRETS__PIN", "12345678\n", "perhaps a line break at its end"),
        ("WEIRGATE__SECRETS__PIN__HOSTS", "https://a.example", "one of the two is missing"),
    ] {
        let listen = format!("127.0.0.1:{}", free_port());
        let output =
            Command::new(binary()).args(["serve", "--listen", &listen, "--data"]).arg(&data).env(name, value).output();
        let output = output.expect("the binary");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(says), "{name}={value:?}: {told}");
        assert!(value.is_empty() || !told.contains(value.trim()), "{told}");
    }
    assert!(!data.exists(), "nothing was begun");
}
