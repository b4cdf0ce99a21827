//! A guest that keeps a ledger of its deliveries per key: how many, up to which number, a hash over all ids in order, and
//! how often a number was not the successor of the last. So a test can see from outside what was lost, duplicated or out of
//! order. It takes `ledger.add` from producers and `ledger.added` from itself under another name.
//! twice or came out of order. It takes `ledger.add` from producers and `ledger.added` from itself under another name.

use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// A producer's event. The key is the account.
#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("ledger.add")]
pub struct Add {
    /// Counts from 1 within the account.
    pub n: u64,
    /// Number of attempts at this event that fail before one succeeds.
    #[serde(default)]
    pub failures: u32,
}

/// Emitted for each entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventType)]
#[event("ledger.added")]
pub struct Added {
    /// Number of the account's entries, this one included.
    pub n: u64,
    /// The id of the entered event.
    pub of: String,
}

#[derive(Debug, Events)]
pub enum Incoming {
    Add(Add),
    Added(Added),
}

/// The state of an account; the status's data is the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub count: u64,
    pub last: u64,
    /// FNV-1a over all ids in order, as 16 hexadecimal digits.
    pub hash: String,
    /// How often a number was not the successor of the last.
    pub breaks: u64,
}

impl Account {
    /// Enters the event `id` with the number `n`.
    pub fn enter(&mut self, n: u64, id: &str) {
        self.breaks += u64::from(n != self.last + 1);
        self.count += 1;
        self.last = n;
        let before = u64::from_str_radix(&self.hash, 16).unwrap_or(0xcbf2_9ce4_8422_2325);
        let hash = id.bytes().fold(before, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        self.hash = format!("{hash:016x}");
    }
}

/// # Errors
/// Transient, as often as the event requests.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let mut account: Account = context.state().get("account")?.unwrap_or_default();
    match &event.data {
        Incoming::Add(add) if context.delivery().attempt <= add.failures => {
            return Err(Failure::transient(format!(
                "attempt {} of {} fails",
                context.delivery().attempt,
                add.failures + 1
            )));
        }
        Incoming::Add(add) => {
            account.enter(add.n, &event.id);
            context.emit(&Added { n: account.count, of: event.id.clone() });
        }
        Incoming::Added(added) => account.enter(added.n, &added.of),
    }
    context.state().set("account", &account)?;
    context.set_status("counted", format!("{} entries", account.count)).data(&account);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    fn add(n: u64) -> Delivery {
        Delivery::of(&Add { n, failures: 0 }).key("account/1")
    }

    #[test]
    fn entries_are_counted_and_passed_on() {
        let mut world = World::new();
        world.run(add(1), handle).completed();
        let run = world.run(add(2), handle);
        assert_eq!(run.emitted::<Added>().iter().map(|added| added.n).collect::<Vec<_>>(), [2]);
        assert_eq!(run.status().text, "2 entries");
    }

    #[test]
    fn a_gap_and_a_repeat_are_breaks() {
        let mut account = Account::default();
        for n in [1, 2, 4, 4] {
            account.enter(n, "id");
        }
        assert_eq!((account.count, account.last, account.breaks), (4, 4, 2));
    }

    #[test]
    fn the_order_of_ids_shows_in_the_hash() {
        let hash = |ids: [&str; 2]| {
            let mut account = Account::default();
            for id in ids {
                account.enter(0, id);
            }
            account.hash
        };
        assert_ne!(hash(["a", "b"]), hash(["b", "a"]));
    }

    #[test]
    fn an_event_fails_as_often_as_its_data_says() {
        let run = Delivery::of(&Add { n: 1, failures: 1 }).key("account/1").run(handle);
        assert!(run.failure().is_transient());
    }
}
