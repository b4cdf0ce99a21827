//! The timers of a plan at a time: those that are due by then are past. Pure.

use crate::replay::KeyPlan;

impl KeyPlan {
    /// The plan as it is appended at a time.
    #[must_use]
    pub fn as_of(&self, now_ms: u64) -> Self {
        let mut plan = self.clone();
        let mut pending = Vec::new();
        for timer in plan.timers {
            match timer.set {
                Some(setting) if setting.due_ms <= now_ms => plan.past_timers.push((timer.name, setting)),
                _ => pending.push(timer),
            }
        }
        plan.timers = pending;
        plan
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::{TimerSetting, TimerWrite};

    use super::*;

    #[test]
    fn what_is_due_by_then_is_past() {
        let timer = |name: &str, due_ms: Option<u64>| {
            let set = |due_ms| TimerSetting { due_ms, r#type: "end".into(), data_content_type: None, data: Vec::new() };
            TimerWrite { name: name.into(), set: due_ms.map(set) }
        };
        let timers = vec![timer("a", Some(7)), timer("b", Some(8)), timer("c", None)];
        let plan = KeyPlan { timers, ..KeyPlan::default() };
        let names = |now_ms| {
            let KeyPlan { timers, past_timers, .. } = plan.as_of(now_ms);
            let (pending, past) =
                (timers.into_iter().map(|one| one.name), past_timers.into_iter().map(|(name, _)| name));
            (pending.collect::<String>(), past.collect::<String>())
        };
        for (now_ms, pending, past) in [(6, "abc", ""), (7, "bc", "a"), (8, "c", "ab"), (9, "c", "ab")] {
            assert_eq!(names(now_ms), (pending.to_owned(), past.to_owned()));
        }
    }
}
