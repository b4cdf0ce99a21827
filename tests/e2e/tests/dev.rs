//! `weirgate dev`: it starts a server, deploys on change, shows what happens, and leaves nothing running. The build is a copy of a
//! module here; `guides` runs it with a real one.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use weirgate_tests::{Client, Setup, binary, event, eventually, free_port};

const PATIENCE: Duration = Duration::from_mins(1);
const MANIFEST: &str = "name = \"ledger\"\nmodule = \"ledger.wasm\"\nstart = \"beginning\"\n\
                        [[retry]]\nattempts = 99\nfirst_delay_ms = 20\ndelay_ms_max = 100\n\
                        [[subscriptions]]\ntypes = [\"ledger.add\"]\n";
/// A compiler that fails where a file says so.
const BUILD: &str = "if [ -e broken ]; then echo 'error: it is broken' >&2; exit 1; fi; cp ledger.bin ledger.wasm";

/// A folder with the ledger, and `weirgate dev` in it.
struct Project {
    dir: TempDir,
    port: u16,
    client: Client,
    child: Option<Child>,
}

impl Project {
    fn new() -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a directory"), free_port());
        fs::write(dir.path().join("handler.toml"), MANIFEST).expect("written");
        fs::write(dir.path().join("ledger.bin"), weirgate_guests::build("ledger")).expect("written");
        Self { client: Client::new(format!("http://127.0.0.1:{port}")), dir, port, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) {
        self.start_with(&format!("http://127.0.0.1:{}", self.port));
    }

    fn start_with(&mut self, url: &str) {
        let output = fs::File::create(self.path("output")).expect("a file");
        let mut command = Command::new(binary());
        command.args(["--url", url, "dev", "--build", BUILD]).current_dir(self.dir.path()).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).stderr(output);
        self.child = Some(command.spawn().expect("the command line"));
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.path("output")).expect("the output")
    }

    /// Waits until so many lines contain this.
    async fn prints(&self, text: &str, times: usize) {
        eventually(&format!("{text:?}, {times} times"), PATIENCE, async || {
            let printed = self.printed();
            if printed.lines().filter(|line| line.contains(text)).count() >= times { Ok(()) } else { Err(printed) }
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("it runs").id();
        kill_process(Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id"), signal).expect("a signal");
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        eventually("the command to end", PATIENCE, async || {
            child.try_wait().expect("its state").ok_or_else(|| self.printed())
        })
        .await
    }

    /// Waits until no server has the port any more.
    async fn is_free(&self) {
        eventually("the server to be gone", PATIENCE, async || TcpListener::bind(("127.0.0.1", self.port)).map(drop))
            .await;
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its server ends with it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn exists(path: &Path) -> bool {
    path.try_exists().expect("a path")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_deploys_on_change_and_shows_what_happens() {
    let mut project = Project::new();
    project.start();
    project.prints("deployed  ledger, sha256:", 1).await;
    project.client.accept(event("ledger.add", "account/1", "a", &json!({ "n": 1 }))).await;
    project.prints("status    account/1 counted: ", 1).await;
    let printed = project.printed();
    let place = |text: &str| printed.find(text).unwrap_or_else(|| panic!("{text:?} is missing: {printed}"));
    assert!(place("ledger.add account/1 {\"n\":1}") < place(" account/1 #1 completed"), "{printed}");

    // A build that fails leaves the deployed version running.
    fs::write(project.path("broken"), "").expect("written");
    project.prints("error: it is broken", 1).await;
    project.prints("build     failed", 1).await;
    assert!(project.printed().contains("the deployed version keeps running"));
    project.client.accept(event("ledger.add", "account/1", "b", &json!({ "n": 2 }))).await;
    project.prints("status    account/1 counted: ", 2).await;
    fs::remove_file(project.path("broken")).expect("removed");
    project.prints("nothing changed", 1).await;
    fs::write(project.path("handler.toml"), "name = 7\n").expect("written");
    project.prints("the manifest cannot be read: `name`: it is the number 7; write a text", 1).await;
    fs::write(project.path("handler.toml"), MANIFEST.replace("attempts = 99", "attempts = 98")).expect("written");
    project.prints("deployed  ledger, sha256:", 2).await;

    // Failures are shown with their reason, and one that may wait for itself with a hint.
    let failing = json!({ "n": 1, "failures": 999 });
    project.client.accept(event("ledger.add", "account/2", "c", &failing)).await;
    project.client.accept(event("ledger.add", "account/2", "d", &json!({ "n": 2 }))).await;
    project.prints("retry: attempt 1 of 1000 fails (transient)", 1).await;
    project.prints("hint      ledger@", 1).await;

    project.signal(Signal::INT);
    assert_eq!(project.ended().await.code(), Some(0), "{}", project.printed());
    project.is_free().await;

    // The data is the project's, and stays.
    assert!(exists(&project.path(".weirgate/data/log")) && exists(&project.path(".weirgate/server.log")));
    project.start();
    project.prints("deployed  ledger, sha256:", 1).await;
    assert_eq!(project.client.get("/v1/status/account/1").await.json["parts"]["ledger"]["state"], "counted");
    project.signal(Signal::TERM);
    assert_eq!(project.ended().await.code(), Some(0));
    project.is_free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_server_ends_with_it_however_it_ends() {
    let mut project = Project::new();
    project.start();
    project.prints("deployed  ledger", 1).await;
    project.signal(Signal::KILL);
    project.ended().await;
    project.is_free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_is_used_and_left_running() {
    let server = Setup::new().start().await;
    let mut project = Project::new();
    project.start_with(&server.url(""));
    project.prints("server    using the one on ", 1).await;
    project.prints("deployed  ledger", 1).await;
    project.signal(Signal::INT);
    assert_eq!(project.ended().await.code(), Some(0));
    assert_eq!(server.client.handler("ledger").await["name"], "ledger");
    assert!(!exists(&project.path(".weirgate")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_named() {
    let mut project = Project::new();
    // A server that is not on this machine is not started here.
    project.start_with("http://weirgate.invalid:8080");
    assert_eq!(project.ended().await.code(), Some(3));
    assert!(project.printed().contains("started here on a loopback address only"), "{}", project.printed());
    // Another program has the port.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", other.local_addr().expect("an address"));
    let mut answering = tokio::task::JoinSet::new();
    answering.spawn(async move {
        while let Ok((mut connection, _)) = other.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let _ = connection.read(&mut [0; 1024]).await;
            let _ =
                connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    project.start_with(&url);
    assert_eq!(project.ended().await.code(), Some(5));
    assert!(project.printed().contains("is it a Weirgate server?"), "{}", project.printed());
    answering.abort_all();
    // There is no project.
    fs::remove_file(project.path("handler.toml")).expect("removed");
    project.start();
    assert_eq!(project.ended().await.code(), Some(2));
    assert!(project.printed().contains("`weirgate new NAME` writes a project"), "{}", project.printed());
}
