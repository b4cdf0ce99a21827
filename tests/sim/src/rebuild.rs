//! The views against the log: a machine that replays the log alone, compared with what the running one has stored.

use weirgate_core::{Action, DeliveryPhase, DeliveryRow, Entropy, EventHead, Input, Limits, Machine};
use weirgate_types::{DeliveryId, Position};

use std::collections::BTreeMap;

use crate::{Checked, Rule, checks::check, shell::Shell, views::Facts};

/// A machine in which everything fits into memory, and its rows.
struct Rebuilt {
    machine: Machine,
    rows: BTreeMap<DeliveryId, DeliveryRow>,
}

impl Shell {
    /// Replays the log from its beginning and compares. All records have to be durable.
    ///
    /// # Errors
    /// Something differs.
    pub fn check_rebuilt(&self) -> Checked {
        let mut facts = Facts::default();
        self.records.iter().for_each(|(position, record)| facts.project(*position, record));
        check(Rule::Rebuilt, facts == self.views.facts, || {
            "what the records say is not what the views hold".to_owned()
        })?;
        let rebuilt = self.rebuild();
        let kept = self.views.latest();
        for (name, view) in self.machine.handlers() {
            let Some(again) = rebuilt.machine.handler(name) else { continue };
            let same = view.mode == again.mode && view.breaker_open_until_ms == again.breaker_open_until_ms;
            check(Rule::Rebuilt, same, || format!("{name}: {:?}, rebuilt {:?}", view.mode, again.mode))?;
            let through = view.scanned.min(again.scanned);
            let of = |rows: &BTreeMap<DeliveryId, DeliveryRow>| -> BTreeMap<Position, DeliveryRow> {
                let rows =
                    rows.iter().filter(|(delivery, _)| delivery.handler == *name && delivery.position <= through);
                rows.map(|(delivery, row)| (delivery.position, comparable(row))).collect()
            };
            let (mine, its) = (of(&kept), of(&rebuilt.rows));
            let difference = mine.iter().find(|(position, row)| its.get(*position) != Some(*row));
            let missing = its.keys().find(|position| !mine.contains_key(position));
            let holds = difference.is_none() && missing.is_none();
            check(Rule::Rebuilt, holds, || {
                let other = difference.and_then(|(position, _)| its.get(position));
                format!("{name}: kept {difference:?}, rebuilt {other:?}; not kept {missing:?}")
            })?;
        }
        let hosts = |machine: &Machine| {
            machine.hosts().filter_map(|(host, open)| Some((host.clone(), open?.until_ms))).collect::<Vec<_>>()
        };
        let same = hosts(&self.machine) == hosts(&rebuilt.machine);
        check(Rule::Rebuilt, same, || "hosts' breakers differ".to_owned())
    }

    fn rebuild(&self) -> Rebuilt {
        let most = usize::MAX;
        let limits =
            Limits { active_max: most, open_max: most, waiting_max: most, lane_max: most, ..Limits::default() };
        let machine = Machine::new(limits, Entropy::seeded(1));
        let mut rebuilt = Rebuilt { machine, rows: BTreeMap::new() };
        rebuilt.tell(self, Input::Durable { position: self.head() }, self.now_ms);
        for (position, record) in &self.records {
            rebuilt.tell(self, Input::Staged { position: *position, record }, self.now_ms);
        }
        rebuilt
    }
}

impl Rebuilt {
    fn tell(&mut self, shell: &Shell, input: Input<'_>, now_ms: u64) {
        let mut actions = Vec::new();
        self.machine.apply(input, now_ms, &mut actions);
        for action in actions {
            match action {
                Action::Keep { delivery, row: Some(row), .. } | Action::Spill { delivery, row, .. } => {
                    self.rows.insert(delivery, row);
                }
                Action::Keep { delivery, row: None, .. } => drop(self.rows.remove(&delivery)),
                Action::Scan { handler, after, until } => {
                    let records = shell.records.iter().filter(|(first, _)| *first > after && *first <= until);
                    let events: Vec<_> = records
                        .flat_map(|(first, record)| EventHead::of(*first, record, weirgate_types::KeyHasher::default()))
                        .collect();
                    self.tell(shell, Input::Scanned { handler: &handler, events: &events, through: until }, now_ms);
                }
                // It only reads.
                _ => {}
            }
        }
    }
}

/// A row without the parts that depend on when it was scanned.
fn comparable(row: &DeliveryRow) -> DeliveryRow {
    let phase = match row.phase {
        DeliveryPhase::OutOfOrder { .. } => DeliveryPhase::Ready,
        phase => phase,
    };
    DeliveryRow { spilled: false, leads: false, offered: None, phase, ..row.clone() }
}
