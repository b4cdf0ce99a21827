//! A full disk: publishing is refused with that reason, nothing acknowledged is lost, and with space again everything
//! continues. Needs root, to mount a small file system.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use weirgate_crash::{Book, Entry, deploy_ledger, entry, verify};
use weirgate_tests::{Answer, Client, Server, Setup, event, eventually, within};

const DISK_MIB: usize = 48;
const PATIENCE: Duration = Duration::from_mins(1);

/// A separate file system, in memory.
struct Disk {
    dir: TempDir,
}

impl Disk {
    /// `None` if this process may not mount.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let options = format!("size={DISK_MIB}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "weirgate-test"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        println!("SKIPPED: a small file system cannot be mounted here; run the test as root");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Uses up all space but `free` bytes.
    fn fill(&self, free: usize) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        let mut chunk = vec![1_u8; 64 * 1024];
        while ballast.write_all(&chunk).is_ok() {}
        while !chunk.is_empty() && ballast.write_all(&chunk).is_err() {
            chunk.truncate(chunk.len() / 2);
        }
        let length = ballast.metadata().expect("its size").len();
        ballast.set_len(length.saturating_sub(free as u64)).expect("made shorter");
    }

    fn give_space(&self) {
        fs::remove_file(self.ballast()).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is still mounted", self.dir.path().display());
    }
}

async fn start(setup: Setup, dir: &Path, free_bytes_min: usize) -> Server {
    let setup = setup.dir(dir.join("data")).env("WEIRGATE__DATA__DISK_FREE_BYTES_MIN", free_bytes_min.to_string());
    let server = setup.start().await;
    deploy_ledger(&server.client).await;
    server
}

/// Adds number `n`, as an event of varying size; the answer, whichever it is, must come soon.
async fn enter(client: &Client, n: u64) -> Answer {
    let mut event = entry("account/1", n, 0);
    event["data"]["padding"] = "x".repeat(20_000).into();
    within("an answer", PATIENCE, client.publish(&[event])).await
}

/// Adds numbers until one is refused. Returns that number.
async fn enter_until_full(client: &Client, book: &mut Book) -> (u64, Answer) {
    for n in 1..20_000 {
        let answer = enter(client, n).await;
        if answer.status != 202 {
            return (n, answer);
        }
        let position = answer.json["events"][0]["position"].as_u64().expect("a position");
        book.accounts.entry("account/1".into()).or_default().push(Entry { n, position });
    }
    panic!("the disk does not fill up");
}

/// The answers while the disk is full.
async fn is_full(client: &Client, answer: &Answer) {
    // The outcome of an event that was being written when the disk became full is not known yet.
    assert!(matches!((answer.status, answer.code()), (507, "disk-full") | (503, "outcome-unknown")), "{}", answer.text);
    assert_eq!((answer.json["retryable"].as_bool(), answer.header("retry-after")), (Some(true), "30"));
    client.publish(&[event("ledger.other", "k", "1", &json!({}))]).await.is_problem(507, "disk-full");
    client.get("/readyz").await.is_problem(503, "disk-full");
    for path in ["/livez", "/v1/events?limit=1", "/v1/handlers", "/v1/deliveries", "/metrics"] {
        assert_eq!(client.get(path).await.status, 200, "{path} needs no space");
    }
}

/// With space again, refused events are sent again and everything continues, also after a crash.
async fn goes_on(server: &mut Server, mut book: Book, refused: u64) {
    for n in refused..refused + 5 {
        let answer = eventually("space to be noticed", PATIENCE, async || {
            let answer = enter(&server.client, n).await;
            if answer.status == 202 { Ok(answer.json) } else { Err(answer.text) }
        })
        .await;
        let position = answer["events"][0]["position"].as_u64().expect("a position");
        book.accounts.entry("account/1".into()).or_default().push(Entry { n, position });
    }
    verify(&server.client, &book).await;
    server.restart().await;
    verify(&server.client, &book).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_reserve_new_events_are_refused_in_time() {
    let Some(disk) = Disk::mount() else { return };
    // The reserve is smaller than what the views leave free, so they may wait.
    let setup = Setup::new().expect_line("view changes stay in memory").expect_line("no deliveries begin");
    let mut server = start(setup, disk.dir.path(), 8 << 20).await;
    disk.fill(16 << 20);
    let mut book = Book::default();
    let (refused, answer) = enter_until_full(&server.client, &mut book).await;
    is_full(&server.client, &answer).await;
    // Handlers wait, and the remaining space is for operators' commands.
    for command in ["pause", "resume"] {
        server.client.post(&format!("/v1/handlers/ledger/{command}")).await.ok();
    }
    disk.give_space();
    goes_on(&mut server, book, refused).await;
}

/// Without a reserve the views run out of space too: they wait in memory. If sled meets the full disk nevertheless, the
/// server ends on its own or when requested, and reports why; nothing is lost.
const NO_SPACE: [&str; 8] = [
    "no deliveries begin",
    "view changes stay in memory",
    "No space left on device",
    "the disk is full",
    "the views failed",
    "rebuilding the views from the log",
    "the views lag",
    "the server stops",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_reserve_the_log_itself_meets_the_end() {
    let Some(disk) = Disk::mount() else { return };
    let setup = NO_SPACE.iter().fold(Setup::new(), |setup, line| setup.expect_line(line));
    let mut server = start(setup, disk.dir.path(), 0).await;
    disk.fill(6 << 20);
    let mut book = Book::default();
    let (refused, answer) = enter_until_full(&server.client, &mut book).await;
    is_full(&server.client, &answer).await;
    server.client.post("/v1/handlers/ledger/pause").await.is_problem(507, "disk-full");
    let status = within("a prompt end", PATIENCE, server.terminate()).await;
    if !status.success() {
        server.line("the views failed", 0).await;
    }
    disk.give_space();
    server.start().await;
    goes_on(&mut server, book, refused).await;
}
