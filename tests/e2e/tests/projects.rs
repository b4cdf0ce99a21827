//! `weirgate new`, `make install`, and what a server says about itself: the first minutes with Weirgate. The guide's own commands are
//! run by `guides`.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use reqwest::Method;
use serde_json::{Value, json};
use weirgate_tests::{Setup, binary};

fn new(dir: &Path, args: &[&str]) -> Output {
    Command::new(binary()).arg("new").args(args).current_dir(dir).output().expect("the command line")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What cargo takes a project for.
fn packages(project: &Path) -> Vec<String> {
    let args = ["metadata", "--offline", "--no-deps", "--format-version", "1"];
    let read = Command::new("cargo").args(args).current_dir(project).output().expect("cargo");
    assert!(read.status.success(), "{}", text(&read.stderr));
    let metadata: Value = serde_json::from_slice(&read.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let mut names: Vec<_> = packages.map(|package| package["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_project_is_written_whole_whatever_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let longest = "a".repeat(64);
    for name in ["parcels", "fn", "test", "serde", "a--9-", &longest] {
        let made = new(dir.path(), &[name]);
        assert!(made.status.success(), "{name}: {}", text(&made.stderr));
        assert!(text(&made.stdout).contains("weirgate dev"), "{made:?}");
        assert_eq!(packages(&dir.path().join(name)), [format!("{name}-handler")]);
    }
    let project = dir.path().join("parcels");
    let manifest = fs::read_to_string(project.join("handler.toml")).expect("a manifest");
    assert!(manifest.contains("name = \"parcels\"") && manifest.contains("/parcels_handler.wasm\""), "{manifest}");
    assert_eq!(packages(&project.join("sdk")), ["weirgate-sdk", "weirgate-sdk-macros"]);
    let wit = fs::read_to_string(project.join("sdk/rust/wit/handler.wit")).expect("the contract");
    assert!(wit.contains("package weirgate:handler@"), "{wit}");
    // In the folder of another workspace it is a project of its own.
    let inside = new(&project, &["inner"]);
    assert!(inside.status.success(), "{inside:?}");
    assert_eq!(packages(&project.join("inner")), ["inner-handler"]);
}

#[test]
fn nothing_is_ever_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("full")).expect("a folder");
    fs::write(dir.path().join("full/notes"), "mine").expect("written");
    fs::write(dir.path().join("file"), "mine").expect("written");
    for (args, says) in [
        (&["full"][..], "full is not empty; choose another name, or another folder with --path"),
        (&["other", "--path", "full"], "full is not empty"),
        (&["file"], "file cannot be the project's folder"),
        (&["x", "--path", "file/x"], "cannot be the project's folder"),
    ] {
        let refused = new(dir.path(), args);
        let told = text(&refused.stderr);
        assert!(!refused.status.success() && told.starts_with("error: ") && told.contains(says), "{args:?}: {told}");
    }
    for name in ["", "Parcels", "1st", "a b", "a/b", "..", "-a", "ä", &"a".repeat(65)] {
        let refused = new(dir.path(), &["--", name]);
        assert_eq!(refused.status.code(), Some(2), "{name:?}: {}", text(&refused.stderr));
    }
    assert_eq!(fs::read_to_string(dir.path().join("full/notes")).expect("the file"), "mine");
    assert_eq!(fs::read_to_string(dir.path().join("file")).expect("the file"), "mine");
    assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 2, "something was left behind");
    // An empty folder is taken as it is, and twice is once too often.
    fs::create_dir(dir.path().join("empty")).expect("a folder");
    let made = new(dir.path(), &["parcels", "--path", "empty", "--output", "json"]);
    let answer: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert_eq!(answer["name"], "parcels", "{answer}");
    assert!(Path::new(answer["path"].as_str().expect("a path")).join("handler.toml").exists());
    assert!(!new(dir.path(), &["parcels", "--path", "empty"]).status.success());
}

#[test]
fn it_is_installed_where_make_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let to = format!("DESTDIR={}", dir.path().display());
    let mut make = Command::new("make");
    make.args(["--silent", "install", &to, "PREFIX=/opt/it"]).current_dir(root).env("WEIRGATE_BIN", binary());
    let installed = make.output().expect("make");
    assert!(installed.status.success(), "{}", text(&installed.stderr));
    let version = Command::new(dir.path().join("opt/it/bin/weirgate")).arg("--version").output().expect("it runs");
    assert!(text(&version.stdout).starts_with("weirgate "), "{version:?}");
}

#[test]
fn a_configuration_is_checked_without_a_server() {
    let dir = tempfile::tempdir().expect("a directory");
    for (file, code, says) in [
        ("[server]\nlisten = \"127.0.0.1:9\"\n", 0, "the configuration is valid"),
        ("[server]\ncolour = 1\n", 2, "colour"),
        ("[engine]\noutbound_workers = 0\n", 2, "outbound_workers"),
        ("[server]\nlisten = \"here\"\n", 2, "write address:port"),
        ("[server]\nlisten = \"0.0.0.0:9\"\n", 2, "server.open = true"),
        ("[server]\nlisten = \n", 2, "line 2"),
    ] {
        fs::write(dir.path().join("weirgate.toml"), file).expect("written");
        let args = ["serve", "--check", "--config", "weirgate.toml"];
        let checked = Command::new(binary()).args(args).current_dir(dir.path()).output().expect("the command line");
        let told = text(&checked.stdout) + &text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(code), "{told}");
        assert!(told.contains(says), "{told}");
    }
    fs::write(dir.path().join("latin-1.toml"), b"# \xe4\n").expect("written");
    for (args, says) in [
        (["--config", "latin-1.toml"], "is not UTF-8 at byte 2"),
        (["--config", "nope.toml"], "nope.toml cannot be read: No such file or directory"),
        (["--listen", "8080"], "write address:port"),
        (["--listen", "192.0.2.1:80"], "server.open = true"),
    ] {
        // Checked or not, it is the same.
        for flags in [&["serve", "--check"][..], &["serve"]] {
            let mut command = Command::new(binary());
            let refused = command.args(flags).args(args).current_dir(dir.path()).output().expect("the command line");
            let told = text(&refused.stderr);
            assert_eq!((refused.status.code(), told.lines().count()), (Some(2), 1), "{args:?}: {told}");
            assert!(told.contains(says) && !told.contains("os error"), "{args:?}: {told}");
        }
    }
    assert!(!dir.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_says_what_this_is() {
    let server = Setup::new().start().await;
    let root = async |accept: Option<&str>| {
        let request = server.client.request(Method::GET, "/");
        let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
        server.client.attempt(request).await.expect("an answer")
    };
    let browser = root(Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")).await;
    assert_eq!((browser.status, browser.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(
        browser.text.contains("<h1>Weirgate ") && browser.text.contains("href=\"/openapi.json\""),
        "{}",
        browser.text
    );
    assert!(browser.header("content-security-policy").starts_with("default-src 'none'"), "{:?}", browser.headers);
    let program = root(Some("application/json")).await;
    assert_eq!((&program.json["name"], &program.json["ready"]), (&json!("weirgate"), &json!(true)));
    assert!(program.json["version"].as_str().is_some_and(|version| !version.is_empty()), "{}", program.text);
    let terminal = root(None).await;
    assert!(terminal.header("content-type").starts_with("text/plain") && terminal.text.starts_with("Weirgate "));
    for answer in [&browser, &program, &terminal] {
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("Accept", "no-store"));
    }
    // Every link leads somewhere.
    for link in program.json["links"].as_array().expect("links") {
        let href = link["href"].as_str().expect("a path");
        assert_eq!(server.client.get(href).await.status, 200, "{href}");
    }
}
