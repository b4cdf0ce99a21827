//! `kill -9` at random moments under load, repeatedly, and an outside oracle that checks every acknowledgement.
//! `WEIRGATE_CRASH_ROUNDS` sets the number of rounds, `WEIRGATE_CRASH_SEED` repeats a run.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use tokio::time::sleep;
use weirgate_crash::{Book, Chance, Load, Watcher, accounts, deploy_ledger, newest_segment, verify};
use weirgate_tests::{Server, Setup};

const ROUNDS: u64 = 200;
/// Everything is checked after this many rounds, and at the end.
const ROUNDS_CHECKED: u64 = 50;
const DRAIN_PATIENCE: Duration = Duration::from_mins(1);

struct World {
    server: Server,
    load: Load,
    watcher: Watcher,
    chance: Chance,
    restarts: Vec<Duration>,
}

impl World {
    /// Runs for a while, kills the server, starts it again; sometimes kills it while it starts.
    async fn round(&mut self) {
        sleep(self.chance.millis(20, 900)).await;
        self.server.kill9();
        while self.chance.one_in(8) {
            self.server.spawn();
            sleep(self.chance.millis(0, 60)).await;
            self.server.kill9();
        }
        self.restarts.push(self.server.start().await);
        self.load.check();
    }

    async fn check(&mut self) -> usize {
        let _quiet = self.load.pause().await;
        let events = verify(&self.server.client, &self.load.book()).await;
        self.watcher.verify(&self.server.client).await;
        events
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_reordered_by_kill_9() {
    let rounds = std::env::var("WEIRGATE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let (chance, seed) = Chance::announced("rounds");
    let server = Setup::new().start().await;
    deploy_ledger(&server.client).await;
    let load = Load::start(&server.client, seed, Book::default());
    let watcher = Watcher::start(&server.client, &accounts());
    let mut world = World { server, load, watcher, chance, restarts: Vec::new() };
    for round in 1..=rounds {
        world.round().await;
        if round % ROUNDS_CHECKED == 0 {
            world.check().await;
        }
    }
    let events = world.check().await;
    let World { mut server, mut load, watcher, mut restarts, .. } = world;
    let _quiet = load.pause().await;
    let book = load.book();
    server.client.drained(DRAIN_PATIENCE).await;
    let head = server.client.get("/v1/events").await.ok()["head"].as_u64();
    assert!(server.terminate().await.success(), "it stops when asked to");
    assert_eq!(
        newest_segment(&server.dir).batches.last().map(weirgate_crash::Batch::last),
        head,
        "positions are dense"
    );
    server.start().await;
    verify(&server.client, &book).await;
    restarts.sort();
    let at = |percent: usize| restarts[(restarts.len() - 1) * percent / 100];
    eprintln!(
        "rounds: {rounds} kills, {} events acknowledged ({} answers said duplicate), {events} in the log, {} frames pushed; \
         restart to ready p50 {:?} p99 {:?} max {:?}",
        book.len(),
        book.duplicates,
        watcher.frames(),
        at(50),
        at(99),
        at(100)
    );
    assert!(book.len() as u64 > rounds * 10, "there was hardly any load");
    assert!(at(50) < Duration::from_secs(2), "the server takes {:?} to start", at(50));
}
