//! `kill -9` while the index and the snapshots are made: each table is whole or absent, and is made again.
//! `WEIRGATE_CRASH_ROUNDS` sets the number of rounds, `WEIRGATE_CRASH_SEED` repeats a run.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use weirgate_crash::{Chance, deploy_ledger, entry};
use weirgate_tests::{Client, Server, Setup, event, eventually};

const ROUNDS: u64 = 60;
const PATIENCE: Duration = Duration::from_mins(1);
/// Sealed segments of the log that the rounds begin with.
const SEGMENTS: usize = 3;

/// The tables of a history, by name. What is being written is left out.
fn tables(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir.join("history")).into_iter().flatten().map(|entry| entry.expect("an entry"));
    let named = entries.map(|entry| (entry.file_name().into_string().expect("UTF-8"), entry.path()));
    let tables = named.filter(|(name, _)| name.ends_with("idx") || name.ends_with("state"));
    // A file may be replaced between the list and the read.
    tables.filter_map(|(name, path)| Some((name, fs::read(path).ok()?))).collect()
}

fn segments(dir: &Path) -> usize {
    let entries = fs::read_dir(dir.join("log")).expect("the log").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).count()
}

/// Entries of accounts among events that fill segments.
async fn fill(server: &Server) {
    let padding = "x".repeat(200_000);
    let mut n = 0;
    while segments(&server.dir) <= SEGMENTS {
        n += 1;
        let mut events: Vec<_> = (1..=4).map(|account| entry(&format!("account/{account}"), n, 0)).collect();
        let filler = |one: u64| event("padding", "padding", &format!("{n}-{one}"), &json!({ "padding": padding }));
        events.extend((0..8).map(filler));
        server.client.publish(&events).await.ok();
    }
    server.client.drained(PATIENCE).await;
}

async fn made(server: &Server) -> BTreeMap<String, Vec<u8>> {
    eventually("all tables", PATIENCE, async || {
        let tables = tables(&server.dir);
        let indexes = tables.keys().filter(|name| name.ends_with("idx")).count();
        if indexes + 1 == segments(&server.dir) && tables.len() > indexes { Ok(tables) } else { Err(indexes) }
    })
    .await
}

async fn story(client: &Client) -> Value {
    eventually("a story", PATIENCE, async || {
        let answer = client.get("/v1/keys/account%2F1/timeline?limit=1000").await;
        if answer.status == 200 { Ok(answer.json) } else { Err(answer.text) }
    })
    .await["entries"]
        .take()
}

/// Removes some tables, or all.
fn remove(dir: &Path, chance: &mut Chance) {
    for name in tables(dir).keys() {
        if chance.one_in(2) {
            fs::remove_file(dir.join("history").join(name)).expect("removed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_table_is_whole_or_absent() {
    let rounds = std::env::var("WEIRGATE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let (mut chance, _) = Chance::announced("history");
    let mut server = Setup::new().start().await;
    deploy_ledger(&server.client).await;
    fill(&server).await;
    let mut sound = made(&server).await;
    let told = story(&server.client).await;
    assert!(told.as_array().is_some_and(|entries| entries.len() > 100), "{told}");
    let mut absent = 0;
    for round in 0..rounds {
        server.kill9();
        for (name, bytes) in tables(&server.dir) {
            // When a snapshot is made may differ, what is in it may not.
            let known = sound.entry(name.clone()).or_insert_with(|| bytes.clone());
            assert!(*known == bytes, "round {round}: {name} is not whole");
        }
        absent += usize::from(tables(&server.dir).len() < sound.len());
        remove(&server.dir, &mut chance);
        server.spawn();
        sleep(chance.millis(0, 400)).await;
    }
    server.ready().await;
    assert_eq!(story(&server.client).await, told, "while tables are missing");
    made(&server).await;
    assert_eq!(story(&server.client).await, told);
    let unfinished = fs::read_dir(server.dir.join("history")).expect("a folder").map(|entry| entry.expect("an entry"));
    let unfinished = unfinished.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "new"));
    assert_eq!(unfinished.count(), 0);
    eprintln!("history: {rounds} kills, {absent} of them before all tables were made");
    assert!(absent > 0, "no kill came while tables were made");
}
