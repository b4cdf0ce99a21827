//! Lost acknowledged records: a server does not start without them unless the loss is accepted; then the tests check what is
//! kept, repaired and given up, and that nothing is charged twice afterwards.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use weirgate_crash::{Segment, copy_dir, deploy_ledger, entry, fingerprint, newest_segment};
use weirgate_tests::{Server, Setup, binary};

const PATIENCE: Duration = Duration::from_mins(1);
const MISSING: &str = "acknowledged records are missing from the log";

/// The data directory of a killed server, and its acknowledged positions.
struct Killed {
    dir: TempDir,
    acknowledged: Vec<u64>,
    epoch: String,
}

impl Killed {
    /// Some events, each in its own batch, all handled; then the kill.
    async fn new(events: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut server = Setup::new().dir(dir.path().join("data")).start().await;
        deploy_ledger(&server.client).await;
        let (mut acknowledged, mut epoch) = (Vec::new(), String::new());
        for n in 1..=events {
            let answer = server.client.publish(&[entry("account/1", n, 0)]).await.ok();
            acknowledged.push(answer["events"][0]["position"].as_u64().expect("a position"));
            answer["epoch"].as_str().expect("an epoch").clone_into(&mut epoch);
        }
        server.client.drained(PATIENCE).await;
        server.kill9();
        Self { dir, acknowledged, epoch }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn segment(&self) -> Segment {
        newest_segment(&self.data())
    }

    fn write(&self, segment: &Segment, bytes: &[u8]) {
        fs::write(&segment.path, bytes).expect("written");
        let _ = self;
    }

    /// Flips a bit in a batch of the log, counted from its end. Returns the batch.
    fn flip(&self, from_end: usize) -> weirgate_crash::Batch {
        let segment = self.segment();
        let batch = segment.batches[segment.batches.len() - 1 - from_end];
        let mut bytes = segment.bytes.clone();
        bytes[batch.end - 5] ^= 1;
        self.write(&segment, &bytes);
        batch
    }

    /// The server does not start, changes nothing, and reports the reason. Returns its output.
    async fn is_refused(&self, says: &str) -> String {
        let before = fingerprint(&self.data().join("log"));
        let mut server = Setup::new().dir(self.data()).expect_line("error:").prepare();
        server.spawn();
        assert!(!server.ended().await.success(), "it started");
        assert_eq!(fingerprint(&self.data().join("log")), before, "the log was changed");
        server.line("hint:", 0).await;
        server.line(says, 0).await
    }

    async fn start(&self, args: &[&str]) -> Server {
        let setup = args.iter().fold(Setup::new().dir(self.data()), |setup, arg| setup.arg(*arg));
        setup.expect_line("WARN").start().await
    }

    fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(args).arg("--data").arg(self.data()).output().expect("the command line")
    }

    fn log_json(&self, command: &[&str]) -> (Option<i32>, Value) {
        let output = self.cli(&[&["log"], command, &["--output", "json"]].concat());
        let json = serde_json::from_slice(&output.stdout);
        (output.status.code(), json.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
    }
}

async fn epoch_of(server: &Server, n: u64) -> (String, u64) {
    let answer = server.client.publish(&[entry("account/new", n, 0)]).await.ok();
    let position = answer["events"][0]["position"].as_u64().expect("a position");
    (answer["epoch"].as_str().expect("an epoch").to_owned(), position)
}

/// All acknowledged events are there, except those in `lost`.
async fn is_kept(server: &Server, killed: &Killed, lost: RangeInclusive<u64>) {
    server.client.drained(PATIENCE).await;
    for position in &killed.acknowledged {
        let status = server.client.get(&format!("/v1/events/{position}")).await.status;
        assert_eq!(status, if lost.contains(position) { 404 } else { 200 }, "position {position}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_the_last_batch_is_a_loss_that_has_to_be_accepted() {
    let killed = Killed::new(5).await;
    let batch = killed.flip(0);
    let lost = batch.first..=batch.last();
    for _ in 0..2 {
        let line = killed.is_refused(MISSING).await;
        let positions = match batch.positions {
            1 => format!("position {}", batch.first),
            _ => format!("positions {} to {}", batch.first, batch.last()),
        };
        assert!(line.starts_with("error:") && line.contains(&positions), "{line}");
    }
    let mut server = killed.start(&["--accept-loss"]).await;
    is_kept(&server, &killed, lost).await;
    let (epoch, position) = epoch_of(&server, 1).await;
    assert!(epoch != killed.epoch && position > batch.last(), "{epoch} {position}, after {}", batch.last());
    assert!(killed.data().join("views.damaged").exists(), "the views were set aside");
    server.client.drained(PATIENCE).await;
    server.kill9();
    // The flag has no effect if nothing is missing; and without it the server starts again.
    for args in [&["--accept-loss"][..], &[]] {
        let mut server = killed.start(args).await;
        assert_eq!(epoch_of(&server, 2).await.0, epoch, "no other epoch begins");
        server.client.drained(PATIENCE).await;
        server.kill9();
    }
    let copies =
        fs::read_dir(killed.data().join("log")).expect("the log").map(|entry| entry.expect("an entry").file_name());
    let copies: Vec<_> = copies.filter(|name| name.to_string_lossy().contains("damaged")).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_are_ahead_by_any_number_of_positions_are_a_loss() {
    for batches in [1, 2, 6] {
        let killed = Killed::new(5).await;
        // A clean stop, so that the views have everything; then the log's end is removed, and with it the note of its head.
        let mut server = killed.start(&[]).await;
        assert!(server.terminate().await.success());
        let segment = killed.segment();
        let last = segment.batches.iter().rfind(|batch| batch.positions > 0).expect("a batch").last();
        let kept =
            segment.batches.iter().rev().filter(|batch| batch.positions > 0).nth(batches).expect("enough batches");
        killed.write(&segment, &segment.bytes[..kept.end]);
        fs::remove_file(killed.data().join("log/head")).expect("removed");
        let line = killed.is_refused(MISSING).await;
        let first = kept.last() + 1;
        assert!(line.contains("the views have applied position"), "{line}");
        assert!(line.contains(&format!("{first}")) && line.contains(&format!("{last}")), "{line}: {first} to {last}");
        let server = killed.start(&["--accept-loss"]).await;
        is_kept(&server, &killed, first..=last).await;
        let (epoch, position) = epoch_of(&server, 1).await;
        assert!(epoch != killed.epoch && position > last, "{epoch} {position}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_a_loss_and_views_of_another_log_are_none() {
    let killed = Killed::new(3).await;
    let other = Killed::new(2).await;
    for data in [killed.data(), other.data()] {
        let mut server = Setup::new().dir(&data).start().await;
        assert!(server.terminate().await.success());
    }
    fs::remove_dir_all(killed.data().join("views")).expect("removed");
    copy_dir(&other.data().join("views"), &killed.data().join("views"));
    let mut server = killed.start(&[]).await;
    is_kept(&server, &killed, 0..=0).await;
    assert_eq!(epoch_of(&server, 1).await.0, killed.epoch);
    assert!(server.terminate().await.success());

    fs::remove_file(other.segment().path).expect("removed");
    fs::remove_file(other.data().join("log/head")).expect("removed");
    other.is_refused("there is no log").await;
    let server = other.start(&["--accept-loss"]).await;
    assert_ne!(epoch_of(&server, 1).await.0, other.epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_middle_can_be_verified_and_repaired() {
    let killed = Killed::new(6).await;
    let batch = killed.flip(4);
    killed.is_refused("the log is damaged").await;
    let before = fingerprint(&killed.data().join("log"));
    let (code, found) = killed.log_json(&["verify"]);
    let finding = &found["findings"][0];
    assert_eq!((code, found["findings"].as_array().map(Vec::len)), (Some(1), Some(1)), "{found}");
    assert_eq!(finding["from"].as_u64(), Some(batch.start as u64), "{found}");
    let range = (finding["lost"][0]["first"].as_u64(), finding["lost"][0]["last"].as_u64());
    let (Some(first), Some(last)) = range else { panic!("{found}") };
    assert!(first >= batch.first && last <= batch.last(), "{found}");
    assert!(!killed.cli(&["log", "repair"]).status.success(), "without the flag nothing is given up");
    assert_eq!(fingerprint(&killed.data().join("log")), before, "nothing was changed");

    let (code, repaired) = killed.log_json(&["repair", "--accept-loss"]);
    assert_eq!((code, &repaired["repaired"], &repaired["findings"]), (Some(0), &json!(true), &found["findings"]));
    let copy = repaired["copies"][0].as_str().expect("a copy");
    assert!(killed.data().join("log").join(copy).exists());
    assert_eq!(killed.log_json(&["verify"]).0, Some(0));
    assert_eq!(killed.log_json(&["repair", "--accept-loss"]), (Some(0), json!({ "repaired": false })));
    let mut server = killed.start(&[]).await;
    is_kept(&server, &killed, first..=last).await;
    let (epoch, position) = epoch_of(&server, 1).await;
    assert!(epoch != killed.epoch && position > killed.acknowledged[5], "{epoch} {position}");
    server.client.drained(PATIENCE).await;
    server.restart().await;
    assert_eq!(epoch_of(&server, 2).await.0, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_batch_may_be_damaged_and_the_repaired_log_serves() {
    let killed = Killed::new(4).await;
    let batches = killed.segment().batches.len();
    for from_end in 0..batches {
        let dir = tempfile::tempdir().expect("a directory");
        copy_dir(&killed.data(), &dir.path().join("data"));
        let copy = Killed { dir, acknowledged: killed.acknowledged.clone(), epoch: killed.epoch.clone() };
        let batch = copy.flip(from_end);
        let (code, repaired) = copy.log_json(&["repair", "--accept-loss"]);
        let lost = |of: &Value| Some(of["first"].as_u64()?..=of["last"].as_u64()?);
        let lost = lost(&repaired["findings"][0]["lost"][0]).unwrap_or_else(|| panic!("{repaired}"));
        assert!(code == Some(0) && *lost.start() >= batch.first && *lost.end() <= batch.last(), "{repaired}");
        let mut server = copy.start(&[]).await;
        is_kept(&server, &copy, lost).await;
        assert_ne!(epoch_of(&server, 1).await.0, killed.epoch, "batch {from_end} from the end");
        assert!(server.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_use_is_refused_and_a_missing_log_is_not_created() {
    let killed = Killed::new(1).await;
    let server = killed.start(&[]).await;
    for command in [&["log", "verify"][..], &["log", "repair", "--accept-loss"], &["log", "new-epoch"]] {
        let output = killed.cli(command);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains("in use") && error.contains("hint:"),
            "{command:?}: {error}"
        );
    }
    drop(server);
    let nowhere = tempfile::tempdir().expect("a directory");
    let data: &Path = &nowhere.path().join("data");
    let output = Command::new(binary()).args(["log", "verify", "--data"]).arg(data).output().expect("the command line");
    assert!(!output.status.success() && !data.exists());

    let (code, began) = killed.log_json(&["new-epoch"]);
    assert_eq!((code, &began["copies"]), (Some(0), &json!([])), "{began}");
    let server = killed.start(&[]).await;
    assert_eq!(Some(epoch_of(&server, 1).await.0.as_str()), began["epoch"].as_str());
}
