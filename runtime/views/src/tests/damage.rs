//! Views that are damaged, of another log, ahead of theirs, or left by a process that was killed.

use super::*;

#[test]
fn invalid_views_are_rebuilt() {
    let kinds: [(&str, Spoil); 10] = [
        ("the state is gone", |path| fs::remove_file(path.join("state")).expect("removed")),
        ("they failed", |path| fs::write(path.join("state"), "failed\n").expect("written")),
        ("the state is empty", |path| fs::write(path.join("state"), "").expect("written")),
        ("sled's files are garbage", |path| {
            for entry in fs::read_dir(path.join("sled")).expect("entries") {
                let entry = entry.expect("an entry").path();
                if entry.is_file() {
                    let length = usize::try_from(entry.metadata().expect("metadata").len()).expect("small");
                    fs::write(entry, vec![0xa5; length.max(100)]).expect("written");
                }
            }
        }),
        ("what was being written builds on what is not there", |path| {
            let about = About { origin: Origin { log: EPOCH, epoch: EPOCH }, applied: Position(9), sum: 0 };
            let redo = Redo::open(&path.join("sled/redo")).expect("a file");
            redo.write(Position(8), about, std::iter::empty()).expect("written");
        }),
        ("what was being written cannot be read", |path| {
            fs::remove_file(path.join("sled/redo")).expect("removed");
            fs::create_dir(path.join("sled/redo")).expect("created");
        }),
        ("sled's files are a folder", |path| {
            fs::remove_dir_all(path.join("sled")).expect("removed");
            fs::create_dir_all(path.join("sled/db")).expect("created");
        }),
        ("sled's files are gone", |path| fs::remove_dir_all(path.join("sled")).expect("removed")),
        ("everything is a file", |path| {
            fs::remove_dir_all(path).expect("removed");
            fs::write(path, "hello").expect("written");
        }),
        ("everything is gone", |path| fs::remove_dir_all(path).expect("removed")),
    ];
    for (kind, spoil) in kinds {
        let (_dir, path) = views_dir();
        make(&path);
        spoil(&path);
        let views = open(&path);
        assert_eq!((views.applied(), all(&views)), (Position::ZERO, Vec::new()), "{kind}");
        views.write(vec![put("c", "3")], Position(1)).expect("written");
        drop(views);
        let views = open(&path);
        assert_eq!((views.applied(), all(&views).len()), (Position(1), 1), "{kind}");
    }
}

#[test]
fn views_of_another_log_or_an_earlier_epoch_are_moved_aside() {
    let mut raised = Epochs::new(EPOCH);
    raised.begin(Position(5), Epoch([6; 16]));
    for log in [Epochs::new(Epoch([6; 16])), raised] {
        let (_dir, path) = views_dir();
        make(&path);
        let views = Views::open(&path, TABLES, (&log, HEAD), options()).expect("new views");
        assert_eq!((views.applied(), all(&views)), (Position::ZERO, Vec::new()));
        drop(views);
        let aside = open(&path.with_file_name("views.damaged"));
        assert_eq!((aside.applied(), all(&aside).len()), (Position(7), 2));
    }
}

#[test]
fn views_that_are_ahead_of_their_log_are_a_loss_and_stay_as_they_are() {
    let (_dir, path) = views_dir();
    make(&path);
    let log = Epochs::new(EPOCH);
    let known = Known { log: EPOCH, epoch: EPOCH, position: Position(7) };
    for head in [Position::ZERO, Position(1), Position(6)] {
        let found = Views::open(&path, TABLES, (&log, head), options()).err();
        assert_eq!(found, Some(ViewError::Ahead(known)), "the log ends at {head}");
    }
    assert_eq!(Views::applied_in(&path, TABLES, &options()), Ok(Some(known)));
    let views = Views::open(&path, TABLES, (&log, Position(7)), options()).expect("the same views");
    assert_eq!((views.applied(), all(&views).len()), (Position(7), 2));
    drop(views);
    // A later epoch of the same log, which that log has lost.
    let mut raised = log.clone();
    raised.begin(Position(5), Epoch([6; 16]));
    fs::remove_dir_all(&path).expect("removed");
    Views::open(&path, TABLES, (&raised, HEAD), options())
        .expect("views")
        .write(vec![put("a", "1")], Position(5))
        .expect("written");
    assert!(matches!(Views::open(&path, TABLES, (&log, HEAD), options()), Err(ViewError::Ahead(_))));
}

#[test]
fn views_that_failed_refuse_everything_and_are_not_used_again() {
    let (_dir, path) = views_dir();
    make(&path);
    let views = open(&path);
    let failure = ViewError::Failed("a test".into());
    assert_eq!(views.flusher().failed::<()>(Err(failure.clone())), Err(failure.clone()));
    assert_eq!(views.get(b"a"), Err(failure.clone()));
    assert_eq!(views.scan(b"", None, 1), Err(failure.clone()));
    assert_eq!(views.write(Vec::new(), Position(8)), Err(failure.clone()));
    assert_eq!(views.settle(), Err(failure));
    drop(views);
    assert_eq!(open(&path).applied(), Position::ZERO);
}

/// The changes of position `number`.
pub fn changes(number: u64) -> Vec<Change> {
    let short_lived = |number: u64| format!("{}hort-lived {number}", if number.is_multiple_of(2) { "s" } else { "S" });
    let mut changes = vec![
        put(&format!("counter {}", number % 97), &number.to_string()),
        put(&format!("Counter {}", number % 89), &number.to_string()),
        Change::insert_new(short_lived(number), "x".repeat(200)),
    ];
    if let Some(old) = number.checked_sub(50) {
        changes.push(Change::remove(short_lived(old)));
    }
    changes
}

/// The expected rows after positions 1 to `applied`.
pub fn model(applied: u64) -> Vec<ViewEntry> {
    let mut model = BTreeMap::new();
    for number in applied.saturating_sub(200)..=applied {
        for change in if number == 0 { Vec::new() } else { changes(number) } {
            match change.value {
                Some(value) => model.insert(change.key, value),
                None => model.remove(&change.key),
            };
        }
    }
    model.into_iter().collect()
}

/// Run in a child process by the test below; passes at once otherwise.
#[test]
fn child_that_writes_until_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let views = open(Path::new(&dir));
    for number in views.applied().0 + 1.. {
        views.write(changes(number), Position(number)).expect("written");
        if number % 500 == 0 {
            println!("wrote {number}");
        }
    }
}

#[test]
fn views_after_a_kill_are_older_but_whole() {
    let (_dir, path) = views_dir();
    let mut applied = 0;
    for round in 0..15 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tests::damage::child_that_writes_until_killed", "--nocapture"])
            .env(CHILD_DIR, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        // Kept until the child is dead: without a reader of its output it would end in an orderly way.
        let mut written = lines.map(|line| line.expect("a line")).filter(|line| line.starts_with("wrote"));
        let last = written.by_ref().take(10 + round * 7).last().expect("some progress");
        child.kill().expect("killed");
        child.wait().expect("gone");
        let views = open(&path);
        let now = views.applied().0;
        assert!(now >= applied, "round {round}: {now} after {applied} ({last})");
        assert!(all(&views) == model(now), "round {round}: not the state of position {now}");
        applied = now;
    }
    assert!(applied > 5000, "nothing much was flushed: {applied}");
}
