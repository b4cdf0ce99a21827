//! The load: several producers, each with its own accounts, that repeat requests with the same ids until they are answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{OwnedRwLockWriteGuard, RwLock},
    task::JoinSet,
    time::sleep,
};
use weirgate_tests::Client;

use crate::{Book, Chance, Entry, entry};

const PRODUCERS: u64 = 4;
const ACCOUNTS_EACH: u64 = 8;
/// Maximum number of events in a request.
const REQUEST_EVENTS_MAX: u64 = 6;
/// How long a producer waits before it repeats an unanswered request.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// All accounts that the load uses.
pub fn accounts() -> Vec<String> {
    (0..PRODUCERS).flat_map(accounts_of).collect()
}

fn accounts_of(producer: u64) -> impl Iterator<Item = String> {
    (0..ACCOUNTS_EACH).map(move |n| format!("account/{producer}-{n}"))
}

/// Running producers. Dropping it ends them.
pub struct Load {
    producers: JoinSet<()>,
    book: Arc<Mutex<Book>>,
    /// Locked for reading during a request, so that a writer of the lock sees no request in progress.
    gate: Arc<RwLock<()>>,
}

struct Producer {
    client: Client,
    accounts: Vec<String>,
    next: BTreeMap<String, u64>,
    chance: Chance,
    book: Arc<Mutex<Book>>,
}

impl Load {
    /// Begins, or continues after what `book` has as acknowledged.
    pub fn start(client: &Client, seed: u64, book: Book) -> Self {
        let mut load = Self { producers: JoinSet::new(), book: Arc::new(Mutex::new(book)), gate: Arc::default() };
        for number in 0..PRODUCERS {
            let chance = Chance::seeded(seed ^ (number + 1));
            let next = load.book().accounts.into_iter().map(|(account, entries)| (account, entries.len() as u64 + 1));
            let mut producer = Producer {
                client: client.clone(),
                accounts: accounts_of(number).collect(),
                next: next.collect(),
                chance,
                book: Arc::clone(&load.book),
            };
            let gate = Arc::clone(&load.gate);
            load.producers.spawn(async move {
                loop {
                    let open = gate.read().await;
                    producer.step().await;
                    drop(open);
                    sleep(producer.chance.millis(5, 50)).await;
                }
            });
        }
        load
    }

    /// The acknowledgements so far.
    pub fn book(&self) -> Book {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every request in flight is answered, and lets no new one begin while the guard is held. The server has to
    /// be up.
    pub async fn pause(&mut self) -> OwnedRwLockWriteGuard<()> {
        self.check();
        let gate = Arc::clone(&self.gate).write_owned();
        weirgate_tests::within("the producers' answers", Duration::from_mins(1), gate).await
    }

    /// Fails if a producer has failed.
    pub fn check(&mut self) {
        if let Some(ended) = self.producers.try_join_next() {
            ended.expect("a producer never ends on its own");
        }
    }
}

impl Producer {
    /// Sends some new events, and occasionally an old one.
    async fn step(&mut self) {
        let old = if self.chance.one_in(8) { self.any_old() } else { None };
        if let Some((account, old)) = old {
            let answer = self.send(&[entry(&account, old.n, 0)]).await;
            let found = &answer["events"][0];
            assert_eq!(
                (&found["duplicate"], &found["position"]),
                (&true.into(), &old.position.into()),
                "{account}-{}",
                old.n
            );
            self.book.lock().unwrap().duplicates += 1;
            return;
        }
        let events: Vec<_> = (0..self.chance.between(1, REQUEST_EVENTS_MAX)).map(|_| self.new_entry()).collect();
        let answer = self.send(&events.iter().map(|(_, _, event)| event.clone()).collect::<Vec<_>>()).await;
        self.acknowledged(&events, &answer);
    }

    fn any_old(&mut self) -> Option<(String, Entry)> {
        let account = self.accounts[self.chance.index(self.accounts.len())].clone();
        let entries = self.book.lock().unwrap().accounts.get(&account)?.clone();
        let old = entries[self.chance.index(entries.len())].clone();
        Some((account, old))
    }

    fn new_entry(&mut self) -> (String, u64, Value) {
        let account = self.accounts[self.chance.index(self.accounts.len())].clone();
        let next = self.next.entry(account.clone()).or_insert(1);
        let n = *next;
        *next += 1;
        let failures = u32::from(self.chance.one_in(20));
        let event = entry(&account, n, failures);
        (account, n, event)
    }

    /// Sends until an answer has the results for the events.
    async fn send(&self, events: &[Value]) -> Value {
        loop {
            match self.client.try_publish(events).await {
                Some(answer) if answer.status == 202 => return answer.json,
                Some(answer) => assert!([429, 503, 507].contains(&answer.status), "{} {}", answer.status, answer.text),
                None => {}
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    fn acknowledged(&self, sent: &[(String, u64, Value)], answer: &Value) {
        let mut book = self.book.lock().unwrap();
        let answered = answer["events"].as_array().expect("events");
        assert_eq!(answered.len(), sent.len(), "{answer}");
        let mut last = 0;
        for ((account, n, event), answered) in sent.iter().zip(answered) {
            assert_eq!((&answered["id"], &answered["key"]), (&event["id"], &event["subject"]));
            let position = answered["position"].as_u64().expect("a position");
            assert!(position > last, "the events of a request are not in their order: {answer}");
            last = position;
            book.duplicates += usize::from(answered["duplicate"] == true);
            book.accounts.entry(account.clone()).or_default().push(Entry { n: *n, position });
        }
    }
}
