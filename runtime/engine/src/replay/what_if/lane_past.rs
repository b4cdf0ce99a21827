//! Which records of a handler and key wrote what a what-if asks for, as far back as it has asked: each of them is read once, however
//! often and for whatever it is asked. Pure, but for what it asks of the log.

use std::collections::{HashMap, VecDeque};

use weirgate_types::{HandlerName, Position, Record};

use super::{run::LaneId, written::part_in};

/// What a record may write for a handler and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wrote {
    /// A timer of this name, also by firing it.
    Timer(String),
    /// The handler's part of the status of the subject that is named as the key.
    NamedPart,
    StateVersion,
}

impl Wrote {
    /// All that a record writes for a handler and key.
    pub fn all_of(record: &Record, at: Position, (handler, key): &LaneId) -> Vec<Self> {
        let mut all: Vec<_> = timers_of(record, handler, key).map(|name| Self::Timer(name.to_owned())).collect();
        if part_in((at, record), handler, key, |_| true).is_some() {
            all.push(Self::NamedPart);
        }
        if record.state_version_of(handler, key).is_some() {
            all.push(Self::StateVersion);
        }
        all
    }

    fn bytes(&self) -> usize {
        let name = if let Self::Timer(name) = self { name.len() } else { 0 };
        name.saturating_add(2 * size_of::<(Self, VecDeque<Position>)>())
    }
}

/// The names of the timers that a record sets, cancels or fires.
fn timers_of<'r>(record: &'r Record, handler: &HandlerName, key: &str) -> impl Iterator<Item = &'r str> {
    let fired = match record {
        Record::Fired { timer, .. } if timer.handler == *handler && timer.key == key => Some(timer.name.as_str()),
        _ => None,
    };
    let of_lane = record.effects().filter(move |written| written.handler == handler && written.key == key);
    let written = of_lane.flat_map(|written| &written.effects.timers).map(|write| write.name.as_str());
    fired.into_iter().chain(written)
}

/// Where a record begins, and all that it wrote.
pub type Written = (Position, Vec<Wrote>);

/// See the module documentation.
#[derive(Debug, Default)]
pub struct LanePast {
    /// The records from the first of these positions to the one before the second were read.
    read: Option<(Position, Position)>,
    /// In order.
    writes: HashMap<Wrote, VecDeque<Position>>,
    bytes: usize,
}

impl LanePast {
    /// The last record before a position that wrote something. `previous` reads the last record of the handler and key from the second
    /// position on and before the first one.
    ///
    /// # Errors
    /// Those of `previous`.
    pub fn last<E>(
        &mut self,
        wrote: &Wrote,
        before: Position,
        previous: impl Fn(Position, Position) -> Result<Option<Written>, E>,
    ) -> Result<Option<Position>, E> {
        let (mut from, until) = self.read.unwrap_or((before, before));
        let (mut newer, mut at) = (Vec::new(), before);
        while at > until
            && let Some((first, writes)) = previous(at, until)?
        {
            newer.push((first, writes));
            at = first;
        }
        for (first, writes) in newer.into_iter().rev() {
            self.note(first, writes, VecDeque::push_back);
        }
        self.read = Some((from, until.max(before)));
        loop {
            let found =
                self.writes.get(wrote).and_then(|all| all.get(all.partition_point(|at| *at < before).checked_sub(1)?));
            if found.is_some() || from == Position::ZERO {
                return Ok(found.copied());
            }
            from = match previous(from, Position::ZERO)? {
                Some((first, writes)) => {
                    self.note(first, writes, VecDeque::push_front);
                    first
                }
                None => Position::ZERO,
            };
            self.read = Some((from, until.max(before)));
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes.saturating_add(2 * size_of::<(LaneId, Self)>())
    }

    fn note(&mut self, at: Position, writes: Vec<Wrote>, add: impl Fn(&mut VecDeque<Position>, Position)) {
        for wrote in writes {
            let bytes = wrote.bytes();
            let all = self.writes.entry(wrote).or_insert_with(|| {
                self.bytes = self.bytes.saturating_add(bytes);
                VecDeque::new()
            });
            // One record may write the same twice.
            if all.front() != Some(&at) && all.back() != Some(&at) {
                add(all, at);
                self.bytes = self.bytes.saturating_add(2 * size_of::<Position>());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A lane whose records are at multiples of ten. Counts those that are read.
    fn lane<'a>(
        records: &'a [(u64, &'a [Wrote])],
        reads: &'a Cell<usize>,
    ) -> impl Fn(Position, Position) -> Result<Option<Written>, ()> + 'a {
        move |before, not_before| {
            let found = records.iter().rfind(|(at, _)| (not_before.0..before.0).contains(at));
            reads.set(reads.get() + usize::from(found.is_some()));
            Ok(found.map(|(at, writes)| (Position(*at), writes.to_vec())))
        }
    }

    fn timer(name: &str) -> Wrote {
        Wrote::Timer(name.to_owned())
    }

    #[test]
    fn the_last_write_before_each_position_is_found() {
        let [a, b] = [timer("a"), timer("b")];
        let records: [(u64, &[Wrote]); 4] = [
            (10, std::slice::from_ref(&a)),
            (20, &[Wrote::NamedPart, b.clone(), b.clone()]),
            (30, &[]),
            (40, &[Wrote::NamedPart, Wrote::StateVersion]),
        ];
        let (reads, mut past) = (Cell::new(0), LanePast::default());
        // In any order: a delivery is asked about where it was committed, which may be before what was asked for last.
        for (wrote, before, at) in [
            (Wrote::NamedPart, 35, Some(20)),
            (a.clone(), 31, Some(10)),
            (a.clone(), 10, None),
            (Wrote::NamedPart, 50, Some(40)),
            (Wrote::NamedPart, 40, Some(20)),
            (Wrote::NamedPart, 20, None),
            (b, 41, Some(20)),
            (Wrote::StateVersion, 41, Some(40)),
            (Wrote::StateVersion, 40, None),
            (timer("none"), 99, None),
        ] {
            let found = past.last(&wrote, Position(before), lane(&records, &reads)).expect("no error");
            assert_eq!(found, at.map(Position), "{wrote:?} before {before}");
        }
        assert_eq!(reads.get(), records.len(), "each is read once");
    }

    #[test]
    fn it_takes_what_it_holds() {
        let all: Vec<Wrote> = (0..1_000).map(|n| timer(&format!("timer/{n}"))).collect();
        let records: Vec<(u64, &[Wrote])> = (1..).step_by(10).zip(all.chunks(1)).collect();
        let (reads, mut past) = (Cell::new(0), LanePast::default());
        let empty = past.bytes();
        past.last(&timer("none"), Position(100_000), lane(&records, &reads)).expect("no error");
        let names: usize = (0..1_000).map(|n| format!("timer/{n}").len()).sum();
        assert!(past.bytes() > empty + names + 8 * 1_000, "{}", past.bytes());
    }
}
