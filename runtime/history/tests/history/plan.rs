//! Random records of a few keys and handlers.

use weirgate_testkit::records::{self, every_record};
use weirgate_types::{Commit, DeliveryId, Event, HandlerName, Position, Record, StateWrite, Stepped};

pub const KEYS: [&str; 5] = ["order/o-1", "order/o-2", "o", "", "order/o-1/lines"];
pub const HANDLERS: [&str; 3] = ["inventory", "payment", "mail"];
pub const NAMES: [&str; 3] = ["stock", "total", "x"];

/// The events so far, with their keys.
pub type Events = Vec<(Position, String)>;

/// `SplitMix64`: random enough for tests, and deterministic.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }

    pub fn handler(&mut self) -> HandlerName {
        self.one(&HANDLERS).parse().expect("a name")
    }

    fn event(&mut self) -> Event {
        let bytes = usize::try_from(self.below(60)).expect("small");
        let mut event = records::event(vec![7; bytes]);
        event.extensions.clear();
        event.subject = Some(self.one(&KEYS).to_owned());
        event
    }

    fn commit(&mut self, events: &Events) -> Commit {
        let Record::Committed(mut commit) = records::commit(0, Vec::new()) else { unreachable!("a commit") };
        let (delivery, key) = self.delivery(events);
        (commit.handler, commit.event, commit.key) = (delivery.handler, delivery.position, key);
        commit.effects.emitted = (0..self.below(3)).map(|_| self.event()).collect();
        commit.effects.state = (0..self.below(3)).map(|_| self.write()).collect();
        commit
    }

    /// Of any event so far, with its key.
    fn delivery(&mut self, events: &Events) -> (DeliveryId, String) {
        let index = usize::try_from(self.below(events.len() as u64)).expect("small");
        let (position, key) = events[index].clone();
        (DeliveryId { handler: self.handler(), position }, key)
    }

    fn write(&mut self) -> StateWrite {
        let value = (self.below(4) > 0).then(|| self.below(1_000).to_string().into_bytes());
        StateWrite { name: self.one(&NAMES).to_owned(), value }
    }

    /// A record of any kind, about a delivery of one of these events.
    pub fn record(&mut self, events: &Events) -> Record {
        match self.below(8) {
            0..=1 => Record::Accepted { event: self.event(), to: None, at_ms: 0 },
            _ if events.is_empty() => Record::Accepted { event: self.event(), to: None, at_ms: 0 },
            2..=3 => Record::Committed(self.commit(events)),
            4 => Record::Batched((0..=self.below(2)).map(|_| self.commit(events)).collect()),
            _ => {
                let all = every_record();
                let index = usize::try_from(self.below(all.len() as u64)).expect("small");
                self.about(all[index].clone(), events)
            }
        }
    }

    /// The same record, about another delivery.
    fn about(&mut self, mut record: Record, events: &Events) -> Record {
        let (id, of_it) = self.delivery(events);
        match &mut record {
            Record::Attempted { delivery, .. } | Record::Stepped(Stepped { delivery, .. }) => *delivery = id,
            Record::ReplayAnswered(answered) => answered.delivery = id,
            Record::ReplayRequested(requested) => requested.handler = id.handler,
            Record::Repaired(repaired) => (repaired.handler, repaired.key) = (id.handler, of_it),
            Record::Released { delivery, key, .. } => (*delivery, *key) = (id, of_it),
            Record::DeliveryDecided(decided) => (decided.delivery, decided.key) = (id, of_it),
            Record::GapPassed(gap) => (gap.delivery, gap.key) = (id, of_it),
            Record::CorrectionRefused(refused) => (refused.delivery, refused.key) = (id, of_it),
            Record::Committed(commit) => (commit.handler, commit.event, commit.key) = (id.handler, id.position, of_it),
            Record::Batched(commits) => *commits = vec![self.commit(events)],
            Record::Deployed(deployed) => deployed.handler = id.handler,
            Record::ModeChanged(changed) => changed.handler = id.handler,
            Record::Lost(lost) => lost.positions = 2,
            _ => {}
        }
        record
    }
}
