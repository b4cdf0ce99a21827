//! What a what-if found, in numbers. Pure.

use std::collections::BTreeMap;

use weirgate_types::HandlerName;

use crate::replay::{Examination, Examined, KeyPlan};

/// See the module documentation. The first four are of what differs, the others of the plan.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Keys on which the handler comes to something else.
    pub keys: u64,
    /// Those on which a delivery fails that completed, so that they cannot be repaired.
    pub keys_failing: u64,
    /// Those of which it is not known, because the breaker of a called host was open.
    pub keys_not_examined: u64,
    /// Keys of other handlers that come to something else where changed events reach them, and keys of the handler that only then do.
    pub receivers: u64,
    /// Keys for which something is to be done or said.
    pub planned: u64,
    pub values: u64,
    /// Statuses that are set or removed.
    pub statuses: u64,
    pub events: u64,
    pub timers: u64,
    /// Timers that were due in the past.
    pub past_timers: u64,
    /// Emitted events and calls that cannot be taken back.
    pub stays: u64,
    /// Calls without a recorded answer, as far as they are listed.
    pub unanswered_calls: u64,
    /// Planned keys that lack the answer of a call.
    pub keys_needing_calls: u64,
}

impl Summary {
    #[must_use]
    pub fn of(handler: &HandlerName, examination: &Examination, plans: &BTreeMap<String, KeyPlan>) -> Self {
        let Examination { alone, cascade, .. } = examination;
        let unanswered =
            |examined: &Examined| count(examined.notes.unanswered.first.len()) + examined.notes.unanswered.more;
        let fails = || alone.values().filter_map(|examined| examined.notes.fails());
        let own = cascade.keys().filter(|(other, key)| other == handler && alone.contains_key(key));
        let mut summary = Self {
            keys: count(alone.len()),
            keys_failing: count(fails().filter(|fails| !fails.is_open).count()),
            keys_not_examined: count(fails().filter(|fails| fails.is_open).count()),
            receivers: count(cascade.len()).saturating_sub(count(own.count())),
            planned: count(plans.len()),
            unanswered_calls: alone.values().map(|examined| unanswered(examined)).sum(),
            ..Self::default()
        };
        for plan in plans.values() {
            summary.add(plan);
        }
        summary
    }

    /// On some of the keys, nothing differs that is shown.
    #[must_use]
    pub fn without(self, same: u64) -> Self {
        Self { keys: self.keys.saturating_sub(same), ..self }
    }

    fn add(&mut self, plan: &KeyPlan) {
        self.values += count(plan.state.len());
        self.statuses += count(plan.status.len() + plan.unset.len());
        self.events += count(plan.emitted.len());
        self.timers += count(plan.timers.len());
        self.past_timers += count(plan.past_timers.len());
        self.keys_needing_calls += u64::from(plan.needs.is_some());
        self.stays += count(plan.stays.len() + plan.calls.len());
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::replay::{Fails, Notes};

    #[test]
    fn receivers_are_those_that_the_handler_alone_does_not_explain() {
        let handler = |name: &str| name.parse::<HandlerName>().expect("a name");
        let failing = |is_open| {
            let fails =
                Fails { event: weirgate_types::Position(7), reason: "no".into(), needs: None, is_open, behind: None };
            Arc::new(Examined { notes: Notes { fails: Some(fails), ..Notes::default() }, ..Examined::default() })
        };
        let alone = [("k".into(), failing(false)), ("l".into(), Arc::default()), ("o".into(), failing(true))].into();
        let mut found = Examination { alone, ..Examination::default() };
        for (name, key) in [("a", "k"), ("a", "l"), ("a", "m"), ("b", "k")] {
            found.cascade.insert((handler(name), key.to_owned()), Arc::default());
        }
        let plan = KeyPlan { unset: vec!["s".into()], others: vec!["o".into()], ..KeyPlan::default() };
        let summary = Summary::of(&handler("a"), &found, &BTreeMap::from([("l".to_owned(), plan)]));
        let expected = Summary {
            keys: 3,
            keys_failing: 1,
            keys_not_examined: 1,
            receivers: 2,
            planned: 1,
            statuses: 1,
            ..Summary::default()
        };
        assert_eq!(summary, expected);
    }
}
