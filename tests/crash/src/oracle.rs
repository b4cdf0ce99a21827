//! Checks the acknowledgements: every acknowledged event is in the log once and at its position, and each account's ledger
//! and audit match the log.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use weirgate_tests::Client;

const DRAIN_PATIENCE: Duration = Duration::from_mins(2);

/// An event that was acknowledged.
#[derive(Debug, Clone)]
pub struct Entry {
    pub n: u64,
    pub position: u64,
}

/// All acknowledged events, by account, in the order of acknowledgement.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub accounts: BTreeMap<String, Vec<Entry>>,
    /// Answers with duplicates.
    pub duplicates: usize,
}

/// An event of the log.
struct Logged<'a> {
    position: u64,
    id: &'a str,
    data: &'a Value,
}

impl Book {
    pub fn len(&self) -> usize {
        self.accounts.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest acknowledged position.
    pub fn told(&self) -> u64 {
        self.accounts.values().flatten().map(|entry| entry.position).max().unwrap_or(0)
    }

    /// The part of it up to `position`.
    #[must_use]
    pub fn up_to(&self, position: u64) -> Self {
        let mut book = self.clone();
        book.accounts.values_mut().for_each(|entries| entries.retain(|entry| entry.position <= position));
        book
    }
}

/// Waits until nothing is left to do, and checks everything. Returns how many events the log holds.
pub async fn verify(client: &Client, book: &Book) -> usize {
    client.drained(DRAIN_PATIENCE).await;
    let dead = client.get("/v1/dead-letters").await.ok();
    assert_eq!(dead["dead_letters"].as_array().map(Vec::len), Some(0), "{dead}");
    let events = client.events().await;
    let positions: Vec<_> = events.iter().map(|event| event["position"].as_u64().expect("a position")).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "positions repeat or go back");
    let added = by_key(&events, "ledger.add");
    let emitted = by_key(&events, "ledger.added");
    for (account, acknowledged) in &book.accounts {
        check_acknowledged(account, acknowledged, added.get(account.as_str()).map_or(&[], Vec::as_slice));
    }
    for (account, added) in &added {
        let emitted = emitted.get(account).map_or(&[][..], Vec::as_slice);
        check_account(client, account, added, emitted).await;
    }
    assert_eq!(emitted.keys().collect::<Vec<_>>(), added.keys().collect::<Vec<_>>(), "entries without an event");
    events.len()
}

fn by_key<'a>(events: &'a [Value], r#type: &str) -> BTreeMap<&'a str, Vec<Logged<'a>>> {
    let mut by_key = BTreeMap::<_, Vec<_>>::new();
    for stored in events.iter().filter(|stored| stored["event"]["type"] == r#type) {
        let event = &stored["event"];
        let key = event["partitionkey"].as_str().or(event["subject"].as_str()).expect("a key");
        let position = stored["position"].as_u64().expect("a position");
        let logged = Logged { position, id: event["id"].as_str().expect("an id"), data: &event["data"] };
        by_key.entry(key).or_default().push(logged);
    }
    by_key
}

/// Every acknowledged event is in the log, once, at its position. Unacknowledged ones may be there too.
fn check_acknowledged(account: &str, acknowledged: &[Entry], logged: &[Logged<'_>]) {
    for entry in acknowledged {
        let id = format!("{account}-{}", entry.n);
        let found: Vec<_> = logged.iter().filter(|logged| logged.id == id).map(|logged| logged.position).collect();
        assert_eq!(found, [entry.position], "{id} was acknowledged at {}", entry.position);
    }
}

async fn check_account(client: &Client, account: &str, added: &[Logged<'_>], emitted: &[Logged<'_>]) {
    let numbers: Vec<_> = added.iter().map(|logged| logged.data["n"].as_u64()).collect();
    let expected: Vec<_> = (1..=added.len() as u64).map(Some).collect();
    assert_eq!(numbers, expected, "{account}: the log's order is not the producer's");
    let emitted_for: Vec<_> =
        emitted.iter().map(|logged| (logged.data["n"].as_u64(), logged.data["of"].as_str())).collect();
    let entered: Vec<_> = expected.into_iter().zip(added.iter().map(|logged| Some(logged.id))).collect();
    assert_eq!(emitted_for, entered, "{account}: what was emitted is not one event an entry, in their order");
    for (cause, effect) in added.iter().zip(emitted) {
        assert!(cause.position < effect.position, "{account}: {} came before its cause", effect.id);
    }
    let hash = hash(added.iter().map(|logged| logged.id));
    let status = client.status(account).await;
    for part in ["ledger", "audit"] {
        let data = &status["parts"][part]["data"];
        let found = (data["count"].as_u64(), data["breaks"].as_u64(), data["hash"].as_str());
        assert_eq!(found, (Some(added.len() as u64), Some(0), Some(hash.as_str())), "{account}: the {part}");
        assert!(status["parts"][part]["delivery"].is_null(), "{account}: {status}");
    }
}

/// The ledger's hash, recomputed: FNV-1a over all ids in order.
fn hash<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in ids.flat_map(str::bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn logged<'a>(position: u64, id: &'a str, data: &'a Value) -> Logged<'a> {
        Logged { position, id, data }
    }

    #[test]
    #[should_panic(expected = "a-2 was acknowledged at 9")]
    fn a_lost_event_is_noticed() {
        let data = json!({ "n": 1 });
        let acknowledged = [Entry { n: 1, position: 7 }, Entry { n: 2, position: 9 }];
        check_acknowledged("a", &acknowledged, &[logged(7, "a-1", &data)]);
    }

    #[test]
    #[should_panic(expected = "a-1 was acknowledged at 7")]
    fn an_event_that_moved_or_is_there_twice_is_noticed() {
        let data = json!({ "n": 1 });
        check_acknowledged("a", &[Entry { n: 1, position: 7 }], &[logged(7, "a-1", &data), logged(8, "a-1", &data)]);
    }

    #[test]
    fn a_book_can_be_cut() {
        let mut book = Book::default();
        book.accounts.insert("a".into(), vec![Entry { n: 1, position: 7 }, Entry { n: 2, position: 9 }]);
        assert_eq!((book.told(), book.len(), book.up_to(8).told()), (9, 2, 7));
    }
}
