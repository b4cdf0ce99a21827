//! What other users and other machines get: no file of the data directory, no connection unless the operator opens the
//! server, no file outside the shop's folder.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;
use weirgate_tests::{Cli, Setup, binary, event, free_port, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

/// Every file and folder below a directory, and itself, with its mode.
fn modes(dir: &Path) -> Vec<(PathBuf, bool, u32)> {
    let found = fs::symlink_metadata(dir).expect("it is there");
    let mut all = vec![(dir.to_owned(), found.is_dir(), found.permissions().mode() & 0o7777)];
    if found.is_dir() {
        for entry in fs::read_dir(dir).expect("a folder") {
            all.extend(modes(&entry.expect("an entry").path()));
        }
    }
    all
}

#[track_caller]
fn are_closed(dir: &Path) {
    let all = modes(dir);
    assert!(all.len() > 12, "{all:?}");
    for (path, is_dir, mode) in all {
        assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "{} has mode {mode:o}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_directory_is_closed_to_other_users() {
    let mut server = Setup::new().umask("000").expect_line("rebuilding the views").start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server.client.accept(event("ledger.add", "account/1", "1", &json!({ "n": 1 }))).await;
    server.client.drained(PATIENCE).await;
    are_closed(&server.dir);
    assert!(server.terminate().await.success());
    are_closed(&server.dir);
    // What an earlier version has left open.
    for (path, is_dir, _) in modes(&server.dir) {
        fs::set_permissions(path, Permissions::from_mode(if is_dir { 0o755 } else { 0o644 })).expect("its mode");
    }
    let mut again = Command::new("sh");
    again.args(["-c", "umask 000 && exec \"$0\" log new-epoch --data \"$1\""]).arg(binary()).arg(&server.dir);
    let mut repaired = again.spawn().expect("the binary");
    assert!(repaired.wait().expect("its end").success());
    server.start().await;
    are_closed(&server.dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_for_other_machines_has_to_be_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    for host in ["0.0.0.0", "[::]", "192.0.2.1"] {
        let listen = format!("{host}:{}", free_port());
        let output = Command::new(binary()).args(["serve", "--listen", &listen, "--data"]).arg(&data).output();
        let output = output.expect("the binary");
        let told = String::from_utf8_lossy(&output.stderr);
        let error: Vec<_> = told.lines().filter(|line| line.starts_with("error:")).collect();
        assert!(!output.status.success() && error.len() == 1, "{told}");
        for part in [&listen, "no access control", "server.open = true", "docs/guides/proxies.md"] {
            assert!(error[0].contains(part), "{part}: {told}");
        }
    }
    assert!(!data.exists(), "nothing was begun");
    let port = free_port();
    let mut open = Command::new(binary());
    open.args(["serve", "--listen", &format!("0.0.0.0:{port}"), "--data"])
        .arg(&data)
        .env("WEIRGATE__SERVER__OPEN", "true");
    let mut open = open.spawn().expect("the binary");
    let client = weirgate_tests::Client::new(format!("http://127.0.0.1:{port}"));
    let ready = weirgate_tests::eventually("the open server to be ready", PATIENCE, async || {
        if client.is_ready().await { Ok(()) } else { Err("not yet") }
    });
    ready.await;
    // A probe sends the address of its target; a name that leads there is not the server's.
    let ask = |host: &'static str| client.attempt(client.request(reqwest::Method::GET, "/readyz").header("host", host));
    assert_eq!(ask("10.244.1.7:8080").await.expect("an answer").status, 200);
    assert_eq!(ask("evil.test").await.expect("an answer").status, 421);
    open.kill().expect("killed");
    open.wait().expect("gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_link_leads_out_of_the_shops_folder() {
    // A relative path, as `make demo` has it.
    let dir = tempfile::tempdir_in("../../target").expect("a directory");
    let shop = dir.path().join("shop");
    fs::create_dir_all(shop.join("assets")).expect("a folder");
    fs::write(shop.join("index.html"), "<!doctype html>").expect("a page");
    fs::write(dir.path().join("secret.js"), "secret").expect("a file");
    symlink("../secret.js", shop.join("out.js")).expect("a link");
    symlink(dir.path().canonicalize().expect("a path").join("secret.js"), shop.join("assets/out.js")).expect("a link");
    symlink("../..", shop.join("assets/up")).expect("a link");
    symlink("../index.html", shop.join("assets/in.html")).expect("a link");
    let server = Setup::new().arg("--shop").arg(shop.to_str().expect("a path")).start().await;
    for path in ["/shop/out.js", "/shop/assets/out.js", "/shop/assets/up/secret.js", "/shop/..%2fsecret.js"] {
        let answer = server.client.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert_ne!(answer.text, "secret", "{path}");
    }
    assert_eq!(server.client.get("/shop/").await.text, "<!doctype html>");
    // The folder of assets may be a link too: followed within the shop, and not out of it.
    let aside = dir.path().join("aside");
    fs::create_dir(&aside).expect("a folder");
    for (folder, text) in [(&aside, "aside"), (&shop.join("assets"), "ours")] {
        fs::write(folder.join("a.js"), text).expect("a file");
    }
    assert_eq!(server.client.get("/shop/assets/a.js").await.text, "ours");
    fs::rename(shop.join("assets"), shop.join("inner")).expect("renamed");
    for (to, status) in
        [("../aside", 404), (aside.canonicalize().expect("a path").to_str().expect("text"), 404), ("inner", 200)]
    {
        symlink(to, shop.join("assets")).expect("a link");
        let answer = server.client.get("/shop/assets/a.js").await;
        assert_eq!(answer.status, status, "{to}: {}", answer.text);
        assert_ne!(answer.text, "aside", "{to}");
        fs::remove_file(shop.join("assets")).expect("removed");
    }
    // The command line has no page, and works as ever.
    Cli::of(&server).prints(&["handlers", "list"]);
}
