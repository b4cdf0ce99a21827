//! The world as the engine: actions are carried out at once, and only from what is readable.

use weirgate_core::{
    Action, AttemptOutcome, EventHead, Gap, HOOK, Input, NextDue, PerWait, ReloadedLane, StateChange, Wait,
};
use weirgate_types::{
    BreakerChanged, Carried, Commit, Correction, DeliveryCommand, DeliveryDecided, DeliveryId, Effects, Event,
    GapPassed, HandlerName, KeyHash, Mode, ModeChanged, Outcome, Position, Record,
};

use super::{World, event, notice};

/// Limits of a scan in records, and of a reload in rows of a lane and due lanes: small, so that long lanes take several.
const SCAN_RECORDS: usize = 8;
const LANE_ROWS: usize = 3;
const DUE_LANES: usize = 2;

impl World {
    pub(super) fn tell(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.apply(input, self.now_ms, &mut actions);
        self.queue.extend(actions);
    }

    pub(super) fn record(&mut self, record: Record) -> Position {
        let position = self.head().next();
        self.report_under_way(position, &record);
        self.tell(Input::Staged { position, record: &record });
        self.log.push((position, record));
        position
    }

    /// What keys of the record have under way, by timers and on disk, at handlers of which earlier versions finish.
    pub(super) fn report_under_way(&mut self, position: Position, record: &Record) {
        for handler in self.machine.finishing().clone() {
            let keys = record.events(position).filter_map(|(_, event)| {
                let timer = self.timers_of.get(&(handler.clone(), event.key().to_owned())).copied();
                let lane = self.machine.hash_key(event.key());
                let spilled =
                    self.rows.iter().filter(|(id, row)| id.handler == handler && row.spilled && row.key == lane);
                let since = spilled.map(|(_, row)| row.as_of).chain(timer).min()?;
                Some((lane, since))
            });
            let keys: Vec<_> = keys.collect();
            self.tell(Input::UnderWay { handler: &handler, keys: &keys });
        }
    }

    pub(super) fn perform(&mut self) {
        while let Some(action) = self.queue.pop_front() {
            match action {
                Action::Stage(record) => drop(self.record(record)),
                Action::Commit { handler, outcomes, is_batch } => self.commit(&handler, outcomes, is_batch),
                Action::Deliver { delivery, attempt, call, .. } => {
                    self.join(&delivery, call);
                    self.history.push((delivery.clone(), attempt));
                    self.calls.push_back((delivery, attempt));
                }
                Action::Correct { delivery, with } => self.correct(delivery, with),
                Action::Release { delivery, commit } => self.release(delivery, commit),
                Action::PassGap(gap) => self.pass_gap(gap),
                Action::ChangeState(change) => self.change_state(change),
                Action::Scan { handler, after, until } => self.scan(&handler, after, until),
                Action::Reload { handler, lanes, due } => self.reload(&handler, lanes, due),
                Action::MoveSpilled { handler, lane, version } => {
                    let of_lane = self.rows.iter_mut().filter(|(id, _)| id.handler == handler);
                    let moved = of_lane.filter(|(_, row)| row.spilled && row.lane == lane);
                    moved.for_each(|(_, row)| row.as_of = version);
                }
                Action::ReportQuiet { hold } => self.quiet.push(hold),
                Action::ReportHoldOver { hold } => self.over.push(hold),
                Action::FireTimers { now_ms } => self.fire(now_ms),
                Action::Keep { delivery, row: Some(row), .. } => drop(self.rows.insert(delivery, row)),
                Action::Keep { delivery, row: None, .. } => drop(self.rows.remove(&delivery)),
                Action::KeepNext { handler, lane, next } => {
                    let key = (handler, lane);
                    if let Some(next) = next.over(self.next.get(&key).copied()) {
                        self.next.insert(key, next);
                    }
                }
                Action::Spill { delivery, row, on } => {
                    assert_eq!(row.spilled, on);
                    self.rows.insert(delivery, row);
                }
            }
        }
    }

    /// A delivery joins the call that begins with that of `call`.
    fn join(&mut self, delivery: &DeliveryId, call: Position) {
        if delivery.position == call {
            return self.batches.push(vec![delivery.clone()]);
        }
        let begun = |batch: &&mut Vec<DeliveryId>| {
            batch.first().is_some_and(|first| first.handler == delivery.handler && first.position == call)
        };
        self.batches.iter_mut().rev().find(begun).expect("its call").push(delivery.clone());
    }

    fn commit(&mut self, handler: &HandlerName, outcomes: Vec<AttemptOutcome>, is_batch: bool) {
        let mut commits: Vec<_> = outcomes.into_iter().map(|outcome| self.commit_of(handler, outcome)).collect();
        match is_batch {
            true => self.record(Record::Batched(commits)),
            false => self.record(Record::Committed(commits.remove(0))),
        };
    }

    fn commit_of(&self, handler: &HandlerName, outcome: AttemptOutcome) -> Commit {
        let key = self.event_at(outcome.position).key().to_owned();
        let mut effects = Effects::default();
        let emitted =
            || Event { source: format!("/handlers/{handler}"), ..event(outcome.position.0, &key, "out.done") };
        let emitted: Vec<Event> = self.emits.then(emitted).into_iter().collect();
        match outcome.outcome {
            Outcome::Completed => effects.emitted = emitted,
            Outcome::Withheld => effects.withheld = emitted,
            _ => {}
        }
        Commit {
            handler: handler.clone(),
            event: outcome.position,
            key,
            attempt: outcome.attempt,
            version: self
                .machine
                .row(&DeliveryId { handler: handler.clone(), position: outcome.position })
                .map_or(Position::ZERO, |row| row.version),
            digest: super::DIGEST,
            at_ms: self.now_ms,
            outcome: outcome.outcome,
            depth: 1,
            effects,
            log: Vec::new(),
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
            state_version: 1,
            migrated_from: None,
        }
    }

    fn correct(&mut self, delivery: DeliveryId, with: Option<Position>) {
        let correction = Correction { data: Vec::new(), data_content_type: None, event: with };
        let (key, at_ms) = (self.event_at(delivery.position).key().to_owned(), self.now_ms);
        let (actor, reason) = (if with.is_some() { "event" } else { HOOK }.to_owned(), String::new());
        let (command, carried, emitted) = (DeliveryCommand::Correct(correction), Carried::default(), Vec::new());
        self.record(Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor,
            reason,
            at_ms,
            emitted,
        }));
    }

    fn release(&mut self, delivery: DeliveryId, commit: Position) {
        let withheld = self.log.iter().find(|(first, _)| *first == commit).map(|(_, record)| record.commits());
        let withheld = withheld.and_then(<[Commit]>::first).expect("a commit");
        let (key, emitted, at_ms) = (withheld.key.clone(), withheld.effects.withheld.clone(), self.now_ms);
        self.record(Record::Released { delivery, key, emitted, depth: 1, at_ms });
    }

    fn pass_gap(&mut self, gap: Gap) {
        let Gap { delivery, expected, found } = gap;
        let (key, at_ms) = (self.event_at(delivery.position).key().to_owned(), self.now_ms);
        self.record(Record::GapPassed(GapPassed { delivery, key, expected, found, at_ms, notice: notice() }));
    }

    fn change_state(&mut self, change: StateChange) {
        let (at_ms, notice) = (self.now_ms, notice());
        match change {
            StateChange::Breaker { breaker, open_ms, actor, reason } => {
                let open_until_ms = open_ms.map(|open_ms| at_ms + open_ms);
                let changed = BreakerChanged { breaker, open_ms, open_until_ms, actor, reason, at_ms, notice };
                self.record(Record::BreakerChanged(changed));
            }
            StateChange::Stop { handler, reason } => {
                let (mode, actor) = (Mode::Paused, "weirgate".to_owned());
                self.record(Record::ModeChanged(ModeChanged { handler, mode, actor, reason, at_ms, notice }));
            }
        }
    }

    fn fire(&mut self, now_ms: u64) {
        let (due, left): (Vec<_>, Vec<_>) = self.timers.iter().partition(|due_ms| **due_ms <= now_ms);
        self.fired.extend(due.into_iter().map(|due_ms| (due_ms, now_ms)));
        self.timers = left;
        self.tell(Input::TimersRead { next_due_ms: self.timers.iter().min().copied() });
    }

    /// Reloads a delivery's lane before a record about it is applied, as the engine does.
    pub fn reload_for(&mut self, delivery: &DeliveryId) {
        if !self.machine.may_be_spilled(&delivery.handler, delivery.position) {
            return;
        }
        self.settle();
        // The last durable moment may have spilled some.
        self.readable = self.rows.clone();
        if let Some(row) = self.readable.get(delivery).filter(|row| row.spilled).cloned() {
            self.reload_exactly(&delivery.handler, row.lane, delivery.position);
        }
    }

    fn reload_exactly(&mut self, handler: &HandlerName, lane: KeyHash, through: Position) {
        let mut reloaded = self.lane(handler, lane, usize::MAX);
        let last = reloaded.rows.iter().position(|(position, _)| *position == through).expect("it is on disk");
        reloaded.more = reloaded.rows.len() > last + 1;
        reloaded.rows.truncate(last + 1);
        self.tell(Input::Reloaded { handler, lanes: &[reloaded], due: PerWait::default() });
        self.perform();
    }

    fn lane(&self, handler: &HandlerName, lane: KeyHash, most: usize) -> ReloadedLane {
        let of_lane =
            self.readable.iter().filter(|(id, row)| id.handler == *handler && row.spilled && row.lane == lane);
        let mut rows: Vec<_> = of_lane.map(|(id, row)| (id.position, row.clone())).collect();
        rows.sort_by_key(|(position, row)| row.rank(*position));
        let next = self.readable_next.get(&(handler.clone(), lane)).copied();
        ReloadedLane { lane, more: rows.len() > most, rows: rows.into_iter().take(most).collect(), next }
    }

    /// Answers from readable rows: lanes by name, or by due time.
    fn reload(&mut self, handler: &HandlerName, mut names: Vec<KeyHash>, due: PerWait<Option<u64>>) {
        self.reloads += 1;
        let retries = self.due_lanes(handler, |wait| wait != Wait::Gap, due.retries, &mut names);
        let gaps = self.due_lanes(handler, |wait| wait == Wait::Gap, due.gaps, &mut names);
        names.sort_unstable();
        names.dedup();
        let events_max = self.handler(handler.as_str()).manifest.batch.map_or(1, |batch| batch.events_max as usize);
        let most = LANE_ROWS.next_multiple_of(events_max);
        let lanes: Vec<_> = names.into_iter().map(|lane| self.lane(handler, lane, most)).collect();
        self.tell(Input::Reloaded { handler, lanes: &lanes, due: PerWait { retries, gaps } });
    }

    fn due_lanes(
        &self,
        handler: &HandlerName,
        is_kind: impl Fn(Wait) -> bool,
        until_ms: Option<u64>,
        names: &mut Vec<KeyHash>,
    ) -> Option<NextDue> {
        let of_handler = self.readable.iter().filter(|(id, row)| id.handler == *handler && row.spilled && row.leads);
        let due = of_handler.filter_map(|(_, row)| Some((row.phase.due()?, row.lane)));
        let mut due: Vec<_> =
            due.filter(|((_, wait), _)| is_kind(*wait)).map(|((due_ms, _), lane)| (due_ms, lane)).collect();
        due.sort();
        let taken = due
            .iter()
            .take_while(|(due_ms, _)| until_ms.is_some_and(|until_ms| *due_ms <= until_ms))
            .take(DUE_LANES)
            .count();
        names.extend(due.iter().take(taken).map(|(_, lane)| *lane));
        until_ms.map(|_| NextDue(due.get(taken).map(|(due_ms, _)| *due_ms)))
    }

    /// Answer a scan.
    fn scan(&mut self, handler: &HandlerName, after: Position, until: Position) {
        let from = self.log.partition_point(|(first, record)| first.plus(record.width()).before() <= after);
        let read = self.log.iter().skip(from).take_while(|(first, _)| *first <= until).take(SCAN_RECORDS);
        let read: Vec<_> = read.collect();
        let through = read.last().map_or(after, |(first, record)| first.plus(record.width()).before());
        let heads: Vec<_> = read
            .iter()
            .flat_map(|(first, record)| EventHead::of(*first, record, weirgate_types::KeyHasher::default()))
            .collect();
        self.tell(Input::Scanned { handler, events: &heads, through });
    }
}
