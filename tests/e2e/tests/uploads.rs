//! Uploads: few at once, in files and not in memory, with nothing else waiting behind them; and deletion of unused modules.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weirgate_tests::{Server, Setup, event, eventually, manifest, within};

const PATIENCE: Duration = Duration::from_mins(2);
const MIB: u64 = 1 << 20;
/// Number of concurrent uploads.
const UPLOADS_MAX: usize = 8;

/// The first bytes of a component, and then garbage.
fn no_component(bytes: usize, seed: u8) -> Vec<u8> {
    let mut module = b"\0asm\x0d\0\x01\0".to_vec();
    module.resize(bytes, seed);
    module
}

/// Begins an upload, and sends a part of it.
async fn begin(server: &Server, bytes: usize) -> TcpStream {
    let mut connection = server.connect().await;
    let head = format!(
        "PUT /v1/modules HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/wasm\r\ncontent-length: {bytes}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("written");
    connection.write_all(&no_component(1_000, 0)).await.expect("written");
    connection
}

/// The stored modules, and incomplete files.
fn files(server: &Server) -> (BTreeSet<String>, usize) {
    let names = std::fs::read_dir(server.dir.join("modules")).expect("the modules");
    let names: Vec<_> =
        names.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    let modules = names.iter().filter_map(|name| name.strip_suffix(".wasm")).map(|hex| format!("sha256:{hex}"));
    (modules.collect(), names.iter().filter(|name| name.starts_with(".unfinished")).count())
}

async fn unfinished(server: &Server, count: usize) {
    eventually("the uploads to be where they are", PATIENCE, async || {
        let (_, unfinished) = files(server);
        if unfinished == count { Ok(()) } else { Err(unfinished) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_uploads_wait_in_files_and_not_in_memory() {
    let server = Setup::new().start().await;
    let before = server.memory_bytes_peak();
    let module = no_component(31 << 20, 0);
    let uploads = (0..20).map(|_| server.client.upload(module.clone()));
    let answers = within("all answers", PATIENCE, futures_util::future::join_all(uploads)).await;
    for answer in &answers {
        match answer.status {
            503 => {
                answer.is_problem(503, "too-many-uploads");
                assert_eq!(answer.header("retry-after"), "5");
            }
            _ => answer.is_problem(422, "compile-failed"),
        }
    }
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(refused > 0 && refused < answers.len(), "{refused} of {} were refused", answers.len());
    let grown = server.memory_bytes_peak() - before;
    assert!(grown < 128 * MIB, "the server took {} MiB for 20 uploads of 31 MiB", grown / MIB);
    unfinished(&server, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_delay_nothing_else_and_end_with_their_client() {
    let server = Setup::new().start().await;
    let mut uploads = Vec::new();
    for _ in 0..UPLOADS_MAX {
        uploads.push(begin(&server, 1 << 20).await);
    }
    unfinished(&server, UPLOADS_MAX).await;
    for _ in 0..600 {
        let mut refused = begin(&server, 1 << 20).await;
        let mut buffer = [0; 2048];
        let count = within("an answer", PATIENCE, refused.read(&mut buffer)).await.expect("an answer");
        assert!(buffer[..count].starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&buffer[..count]));
        uploads.push(refused);
    }
    let events: Vec<Value> = (0..100).map(|n| event("t", "k", &n.to_string(), &json!({}))).collect();
    server.client.publish(&events).await.ok();
    server.client.get("/v1/status/k").await.is_problem(404, "not-found");
    server.client.get("/v1/events?limit=10").await.ok();
    server.client.get("/v1/deliveries").await.ok();
    server.client.get("/v1/handlers").await.ok();
    drop(uploads);
    unfinished(&server, 0).await;
    server.client.upload(module(1)).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_compilation_ends_with_its_client() {
    let server = Setup::new().start().await;
    let heavy = server.client.request(reqwest::Method::PUT, "/v1/modules").body(weirgate_guests::heavy(60));
    let compiling = server.client.attempt(heavy);
    let queued = async {
        unfinished(&server, 1).await;
        let mut clients = Vec::new();
        for seed in 1..UPLOADS_MAX {
            let module = no_component(2_000, u8::try_from(seed).expect("small"));
            let mut client = begin(&server, module.len()).await;
            client.write_all(&module[1_000..]).await.expect("written");
            clients.push(client);
        }
        drop(clients);
        // Whether or not the heavy one is compiled by now, only its own file may be left.
        eventually("the queued uploads to end", PATIENCE, async || {
            let (_, unfinished) = files(&server);
            if unfinished <= 1 { Ok(()) } else { Err(unfinished) }
        })
        .await;
    };
    // The result of the heavy one does not matter here; on a slow machine its client gives up.
    tokio::join!(compiling, queued);
    server.client.upload(module(1)).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_checks_free_space_first() {
    // It is not ready then, but answers.
    let mut server = Setup::new().env("WEIRGATE__DATA__DISK_FREE_BYTES_MIN", (1_u64 << 60).to_string()).prepare();
    server.spawn();
    // While it reads its log, it answers so.
    eventually("the server to have started", PATIENCE, async || {
        let answer = server.client.try_get("/v1/status").await.ok_or("no answer".to_owned())?;
        if answer.code() == "starting" { Err(answer.text) } else { Ok(()) }
    })
    .await;
    server.client.upload(module(1)).await.is_problem(507, "disk-full");
    assert_eq!(files(&server), (BTreeSet::new(), 0));
    let server = Setup::new().env("WEIRGATE__MODULES__UNUSED_BYTES_MAX", "100").start().await;
    server.client.upload(module(1)).await.is_problem(507, "too-many-modules");
}

/// A small module, different from all others.
fn module(number: usize) -> Vec<u8> {
    weirgate_guests::in_handler("", &"(func (nop))".repeat(number))
}

async fn upload(server: &Server, number: usize) -> String {
    server.client.upload(module(number)).await.ok()["digest"].as_str().expect("a digest").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_that_no_handler_was_deployed_with_are_deleted_after_a_while() {
    let mut server = Setup::new().env("WEIRGATE__MODULES__UNUSED_GRACE_MS", "2000").start().await;
    let earlier = upload(&server, 1).await;
    server.client.redeploy(&manifest("one", &["t"]), &json!(earlier)).await.ok();
    let current = upload(&server, 2).await;
    server.client.redeploy(&manifest("one", &["t"]), &json!(current)).await.ok();
    let unused = upload(&server, 3).await;
    assert!(files(&server).0.contains(&unused), "an upload has its grace");
    let kept = BTreeSet::from([earlier, current]);
    eventually("the unused module to be deleted", PATIENCE, async || {
        let (modules, _) = files(&server);
        if modules == kept { Ok(()) } else { Err(modules) }
    })
    .await;
    let artefacts = std::fs::read_dir(server.dir.join("modules/cache")).expect("the cache").count();
    assert_eq!(artefacts, kept.len(), "what was compiled of it is deleted too");
    server.restart().await;
    eventually("the handler to run", PATIENCE, async || {
        let handler = server.client.handler("one").await;
        if handler["state"] == "running" { Ok(()) } else { Err(handler) }
    })
    .await;
    assert_eq!(files(&server).0, kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_kept_over_a_restart_until_its_grace_is_over() {
    let mut server = Setup::new().start().await;
    let unused = upload(&server, 1).await;
    server.restart().await;
    server.client.redeploy(&manifest("one", &["t"]), &json!(unused)).await.ok();
}
