//! What must hold for a repair: no attempt of its key is running, and it was made for the version in force.

use weirgate_types::{KeyHasher, Repaired};

use super::{Checked, Checks, Life, Rule, check};

impl Checks {
    pub(super) fn repaired(&mut self, repaired: &Repaired) -> Checked {
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
        self.state_versions.repaired(repaired);
        self.check_emitted(&repaired.effects.emitted)?;
        self.write_timers(repaired.written());
        Ok(())
    }
}
