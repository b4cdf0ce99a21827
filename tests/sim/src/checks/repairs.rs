//! What must hold for a repair: no attempt of its key is running, it was made for the version in force, and it takes in all that was
//! written before it.

use weirgate_types::{KeyHasher, Position, Repaired, TimerWrite, Written};

use super::{Checked, Checks, Life, Rule, check};

impl Checks {
    pub(super) fn repaired(&mut self, position: Position, repaired: &Repaired) -> Checked {
        let (handler, key) = (&repaired.handler, KeyHasher::default().hash(&repaired.key));
        let watched = self.watched(handler);
        let running = watched.items.iter().find(|(_, item)| item.key == key && item.life == Life::Running);
        check(Rule::Repairs, running.is_none(), || {
            format!("{handler} {} is repaired beside {running:?}", repaired.key)
        })?;
        let in_force = watched.versions.last().map(|(from, _)| *from);
        check(Rule::Repairs, in_force == Some(repaired.version), || {
            format!("{handler} is repaired under {}, in force is {in_force:?}", repaired.version)
        })?;
        let written = watched.written.get(&key).copied().unwrap_or_default();
        check(Rule::Repairs, written <= repaired.through, || {
            format!(
                "{handler} {} is repaired as it was at {}, and was written at {written}",
                repaired.key, repaired.through
            )
        })?;
        let now_ms = self.wall_ms.min(self.stalled_from_ms.unwrap_or(u64::MAX));
        let is_late = |timer: &TimerWrite| timer.set.as_ref().is_some_and(|set| set.due_ms <= now_ms);
        let fires = repaired.effects.timers.iter().any(is_late);
        check(Rule::Repairs, !fires, || {
            format!("{position} sets a timer that was due, and none was approved to fire")
        })?;
        self.key_written(position, repaired.written());
        self.state_versions.repaired(repaired);
        self.check_emitted(&repaired.effects.emitted)?;
        self.write_timers(repaired.written());
        Ok(())
    }

    pub(super) fn key_written(&mut self, position: Position, Written { handler, key, effects, .. }: Written<'_>) {
        if !effects.state.is_empty() {
            self.watched(handler).written.insert(KeyHasher::default().hash(key), position);
        }
    }
}
