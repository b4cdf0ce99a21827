//! The timers of a plan at a time: those that are due by then are past. Pure.

use weirgate_types::TimerSetting;

use crate::replay::KeyPlan;

/// The timers of a plan as they are appended at a time.
#[derive(Debug, Default)]
pub struct TimersAsOf<'a> {
    /// Those that are set and not due by then, and those that are cancelled.
    pub pending: Vec<(&'a str, Option<&'a TimerSetting>)>,
    pub past: Vec<(&'a str, &'a TimerSetting)>,
}

impl KeyPlan {
    #[must_use]
    pub fn timers_as_of(&self, now_ms: u64) -> TimersAsOf<'_> {
        let set = self.past_timers.iter().map(|(name, setting)| (name.as_str(), Some(setting)));
        let all = self.timers.iter().map(|timer| (timer.name.as_str(), timer.set.as_ref())).chain(set);
        let mut timers = TimersAsOf::default();
        for (name, set) in all {
            match set {
                Some(setting) if setting.due_ms <= now_ms => {
                    timers.past.push((name, setting));
                    // Of one that was past from the beginning, the plan has that.
                    let was_pending = self.past_timers.iter().all(|(past, _)| past != name);
                    let is_replaced = self.replaced_timers.iter().any(|replaced| replaced == name);
                    timers.pending.extend((was_pending && is_replaced).then_some((name, None)));
                }
                set => timers.pending.push((name, set)),
            }
        }
        timers
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::TimerWrite;

    use super::*;

    #[test]
    fn what_is_due_by_then_is_past() {
        let timer = |name: &str, due_ms: Option<u64>| {
            let set = |due_ms| TimerSetting { due_ms, r#type: "end".into(), data_content_type: None, data: Vec::new() };
            TimerWrite { name: name.into(), set: due_ms.map(set) }
        };
        let timers = vec![timer("a", Some(7)), timer("b", Some(8)), timer("c", None)];
        let plan = KeyPlan { timers, replaced_timers: vec!["b".into()], ..KeyPlan::default() };
        let names = |now_ms| {
            let TimersAsOf { pending, past } = plan.timers_as_of(now_ms);
            let pending: String = pending.into_iter().map(|(name, _)| name).collect();
            (pending, past.into_iter().map(|(name, _)| name).collect::<String>())
        };
        for (now_ms, pending, past) in [(6, "abc", ""), (7, "bc", "a"), (8, "bc", "ab"), (9, "bc", "ab")] {
            assert_eq!(names(now_ms), (pending.to_owned(), past.to_owned()));
        }
    }
}
