//! Power cuts and bad disks, on copies of a data directory: the log's end torn anywhere, its views missing, old, new,
//! unverified or garbage; and acknowledged records that are missing, or damaged in the middle, which is refused.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::OnceCell, time::sleep};
use weirgate_crash::{
    Book, Chance, Load, Segment, copy_dir, deploy_ledger, entry, fingerprint, newest_segment, verify,
};
use weirgate_tests::Setup;

/// The log line of rebuilt views.
const REMADE: &str = "rebuilding the views from the log";
/// Number of last batches that are torn.
const TORN_BATCHES: usize = 60;
const CUTS: usize = 16;

/// A data directory after load, kills, and a last kill, with its acknowledgements.
struct Wreck {
    _dir: TempDir,
    data: PathBuf,
    /// An earlier copy of the views.
    old_views: PathBuf,
    segment: Segment,
    book: Book,
}

/// Created once for all tests.
async fn wreck() -> &'static Wreck {
    static WRECK: OnceCell<Wreck> = OnceCell::const_new();
    WRECK.get_or_init(make_wreck).await
}

async fn make_wreck() -> Wreck {
    let (mut chance, seed) = Chance::announced("power");
    let dir = tempfile::tempdir().expect("a directory");
    let (data, old_views) = (dir.path().join("data"), dir.path().join("old-views"));
    let mut server = Setup::new().dir(&data).start().await;
    deploy_ledger(&server.client).await;
    let load = Load::start(&server.client, seed, Book::default());
    for round in 0..3 {
        sleep(chance.millis(1_200, 1_800)).await;
        server.kill9();
        if round == 1 {
            copy_dir(&data.join("views"), &old_views);
        }
        server.start().await;
    }
    sleep(Duration::from_millis(1_500)).await;
    server.kill9();
    // The server is down, so there are no further acknowledgements.
    let book = load.book();
    drop(load);
    let segment = newest_segment(&data);
    assert!(segment.batches.len() > 2 * TORN_BATCHES, "there was hardly any load: {} batches", segment.batches.len());
    assert!(
        segment.batches.last().is_some_and(|batch| batch.last() >= book.told()),
        "what was acknowledged is in the file"
    );
    Wreck { _dir: dir, data, old_views, segment, book }
}

/// A copy to damage.
struct Copy {
    dir: TempDir,
}

impl Copy {
    fn of(data: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        copy_dir(data, &dir.path().join("data"));
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Rewrites the newest segment.
    fn write_segment(&self, segment: &Segment, bytes: &[u8]) {
        let name = segment.path.file_name().expect("a name");
        fs::write(self.data().join("log").join(name), bytes).expect("written");
    }

    /// The durable head in the log's note.
    fn noted(&self) -> u64 {
        let note = fs::read(self.data().join("log/head")).expect("a note");
        u64::from_le_bytes(note[40..48].try_into().expect("eight bytes"))
    }

    /// The server does not start, and changes nothing.
    async fn is_refused(&self, reason: &str) -> String {
        let before = fingerprint(&self.data().join("log"));
        let mut server = Setup::new().dir(self.data()).expect_line("error:").prepare();
        server.spawn();
        assert!(!server.ended().await.success(), "it started");
        assert_eq!(fingerprint(&self.data().join("log")), before, "the log was changed");
        server.line(reason, 0).await
    }

    /// The server starts on it, keeps the events in `book`, and continues.
    async fn is_sound(&self, book: &Book, expected: &[&str]) {
        self.is_sound_with(Setup::new(), book, expected).await;
    }

    async fn is_sound_with(&self, setup: Setup, book: &Book, expected: &[&str]) {
        let setup = expected.iter().fold(setup.dir(self.data()), |setup, line| setup.expect_line(line));
        let mut server = setup.start().await;
        verify(&server.client, book).await;
        let account = "account/after";
        for n in 1..=3 {
            server.client.accept(entry(account, n, 0)).await;
        }
        verify(&server.client, book).await;
        assert!(server.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_may_end_at_any_byte_after_the_acknowledged_head() {
    let wreck = wreck().await;
    let (mut chance, _) = Chance::announced("cuts");
    let torn = &wreck.segment.batches[wreck.segment.batches.len() - TORN_BATCHES..];
    let (from, to) = (torn[0].start, torn[TORN_BATCHES - 1].end);
    for number in 0..CUTS {
        let batch = torn[chance.index(TORN_BATCHES)];
        let cut = match number % 4 {
            0 => batch.start,
            1 => batch.start + chance.index(40),
            2 => batch.end - 1,
            _ => from + chance.index(to - from),
        };
        let durable = wreck.segment.batches.iter().rfind(|batch| batch.end <= cut).expect("a whole batch");
        let mut bytes = wreck.segment.bytes[..cut].to_vec();
        match number % 3 {
            0 => {}
            1 => bytes.extend(chance.bytes(3_000)),
            _ => bytes.resize(wreck.segment.bytes.len(), 0),
        }
        let copy = Copy::of(&wreck.data);
        copy.write_segment(&wreck.segment, &bytes);
        let book = wreck.book.up_to(durable.last());
        if number % 2 == 1 && copy.noted() > durable.last() {
            // Durable records are missing, and the note and the views prove it.
            copy.is_refused("acknowledged records are missing from the log").await;
            copy.is_sound_with(Setup::new().arg("--accept-loss"), &book, &["WARN"]).await;
        } else {
            // As if it had not been durable.
            fs::remove_file(copy.data().join("log/head")).expect("removed");
            fs::remove_dir_all(copy.data().join("views")).expect("removed");
            copy.is_sound(&book, &[]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_may_be_gone_old_or_garbage() {
    let wreck = wreck().await;
    let (mut chance, _) = Chance::announced("views");
    for what in ["gone", "old", "state gone", "garbage", "overwritten", "a file"] {
        let copy = Copy::of(&wreck.data);
        let views = copy.data().join("views");
        match what {
            "gone" => fs::remove_dir_all(&views).expect("removed"),
            "old" => {
                fs::remove_dir_all(&views).expect("removed");
                copy_dir(&wreck.old_views, &views);
            }
            "state gone" => fs::remove_file(views.join("state")).expect("removed"),
            "a file" => {
                fs::remove_dir_all(&views).expect("removed");
                fs::write(&views, b"not a directory").expect("written");
            }
            _ => spoil(&views.join("sled"), what == "garbage", &mut chance),
        }
        eprintln!("views: {what}");
        copy.is_sound(&wreck.book, &[REMADE, "sled"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_are_whole_after_a_power_cut_are_used() {
    let wreck = wreck().await;
    // As the last flush left them; and as an interrupted flush left them, with its redo entry.
    let copy = Copy::of(&wreck.data);
    fs::write(copy.data().join("views/state"), "open another-boot\n").expect("written");
    let mut server = Setup::new().dir(copy.data()).start().await;
    server.line("the views are intact after a power cut", 0).await;
    verify(&server.client, &wreck.book).await;
    assert!(server.terminate().await.success());
    // A mixture is detected.
    let (mut chance, _) = Chance::announced("mixture");
    let copy = Copy::of(&wreck.data);
    fs::write(copy.data().join("views/state"), "open another-boot\n").expect("written");
    spoil(&copy.data().join("views/sled"), false, &mut chance);
    copy.is_sound(&wreck.book, &[REMADE, "sled"]).await;
}

/// Replaces sled's files by garbage, or overwrites a part of each.
fn spoil(sled: &Path, wholly: bool, chance: &mut Chance) {
    for path in fs::read_dir(sled)
        .expect("sled's files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
    {
        let mut bytes = fs::read(&path).expect("a file");
        let from = if wholly { 0 } else { bytes.len() / 3 };
        let to = if wholly { bytes.len() } else { bytes.len() / 2 };
        let garbage = chance.bytes(to - from);
        bytes[from..to].copy_from_slice(&garbage);
        fs::write(&path, bytes).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_stop_everything_is_there_with_or_without_views() {
    let wreck = wreck().await;
    let copy = Copy::of(&wreck.data);
    let mut server = Setup::new().dir(copy.data()).start().await;
    verify(&server.client, &wreck.book).await;
    assert!(server.terminate().await.success());
    drop(server);
    let segment = newest_segment(&copy.data());
    let last = segment.batches.last().expect("a batch");
    let cut = segment.bytes[..last.end - 1].to_vec();
    for views_too in [false, true] {
        let copy = Copy::of(&copy.data());
        if views_too {
            fs::remove_dir_all(copy.data().join("views")).expect("removed");
            copy.write_segment(&segment, &cut);
        }
        copy.is_sound(&wreck.book, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_middle_is_refused_and_nothing_is_changed() {
    let wreck = wreck().await;
    let (mut chance, _) = Chance::announced("damage");
    let batches = &wreck.segment.batches;
    for number in 0..6 {
        let batch = batches[chance.index(batches.len() - 1)];
        let at = match number {
            0 => chance.index(64),
            1 => batch.start + chance.index(32),
            _ => batch.start + chance.index(batch.end - batch.start),
        };
        let copy = Copy::of(&wreck.data);
        let mut bytes = wreck.segment.bytes.clone();
        bytes[at] ^= 1 << chance.between(0, 7);
        copy.write_segment(&wreck.segment, &bytes);
        let line = copy.is_refused("the log is damaged").await;
        let name = wreck.segment.path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(line.starts_with("error:") && line.contains(name) && line.contains("position "), "byte {at}: {line}");
    }
}
