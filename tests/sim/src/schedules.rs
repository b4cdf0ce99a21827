//! Schedules of a history's handlers: which ones a deployment may bring, and when each has to fire, by the records alone.

use std::collections::BTreeMap;

use weirgate_core::schedule;
use weirgate_types::{Deployed, Event, HandlerName, Manifest, TimerId};

use crate::{Checked, Checks, Rule, checks::check};

/// Prefix of the source of a schedule's event, as the engine writes it.
pub const SOURCE: &str = "/weirgate/schedules/";

/// The schedules of a version: by name and cron line. Versions of a handler add, change and remove them.
const VARIANTS: [&[(&str, &str)]; 5] = [
    &[],
    &[("often", "* * * * *")],
    &[("often", "*/2 * * * *"), ("hourly", "0 * * * *")],
    &[("hourly", "30 * * * *")],
    &[("often", "* * * * *"), ("hourly", "0 * * * *")],
];

/// The manifest with the schedules of a variant.
#[must_use]
pub fn with(manifest: &str, variant: u64) -> String {
    let index = usize::try_from(variant).unwrap_or(0) % VARIANTS.len();
    let schedules = VARIANTS.get(index).into_iter().flat_map(|variant| variant.iter());
    let schedules = schedules
        .map(|(name, cron)| format!(r#"{{"name":"{name}","cron":"{cron}","type":"timer.due","key":"k0"}}"#))
        .collect::<Vec<_>>();
    let rest = manifest.strip_suffix('}').unwrap_or(manifest);
    format!(r#"{rest},"schedules":[{}]}}"#, schedules.join(","))
}

#[must_use]
pub fn is_schedule(event: &Event) -> bool {
    event.source.starts_with(SOURCE)
}

/// When each schedule fires next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Schedules(BTreeMap<TimerId, Next>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Next {
    due_ms: u64,
    cron: String,
}

impl Schedules {
    /// A version's schedules replace the earlier ones.
    pub fn deployed(&mut self, deployed: &Deployed) {
        self.0.retain(|timer, _| timer.handler != deployed.handler);
        let manifest = Manifest::from_record(&deployed.manifest).unwrap_or_else(|error| panic!("{error}"));
        for one in manifest.schedules {
            let timer = TimerId { handler: deployed.handler.clone(), key: one.key, name: one.name };
            if let Some(due_ms) = schedule::next_after(&one.cron, deployed.wall_ms) {
                self.0.insert(timer, Next { due_ms, cron: one.cron });
            }
        }
    }

    /// The handler is gone, with its schedules.
    pub fn removed(&mut self, handler: &HandlerName) {
        self.0.retain(|timer, _| timer.handler != *handler);
    }

    /// When a schedule that fires now fires next: at the first of its times that is still to come.
    #[must_use]
    pub fn again_ms(&self, timer: &TimerId, wall_ms: u64) -> Option<u64> {
        let next = self.0.get(timer)?;
        schedule::next_after(&next.cron, next.due_ms.max(wall_ms))
    }

    /// A schedule fired. Returns when it was due.
    pub fn fired(&mut self, timer: &TimerId, next_ms: Option<u64>) -> Option<u64> {
        let next = self.0.get_mut(timer)?;
        let due_ms = next.due_ms;
        match next_ms {
            Some(next_ms) => next.due_ms = next_ms,
            None => drop(self.0.remove(timer)),
        }
        Some(due_ms)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TimerId, u64)> {
        self.0.iter().map(|(timer, next)| (timer, next.due_ms))
    }

    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        self.iter().map(|(_, due_ms)| due_ms).min()
    }
}

impl Checks {
    /// A schedule fired, with the time when it fires next.
    ///
    /// # Errors
    /// That time differs from its cron line.
    pub fn schedule_fired(&mut self, timer: &TimerId, due_ms: u64, next_ms: Option<u64>) -> Checked {
        let again_ms = self.schedules.again_ms(timer, self.wall_ms);
        // Of a pass in which the disk stalled, records were written before and after.
        let before_ms = self.stalled_from_ms.map(|from_ms| self.schedules.again_ms(timer, from_ms));
        let is_right = next_ms == again_ms || before_ms == Some(next_ms);
        check(Rule::Timers, is_right, || format!("{timer:?}: next {next_ms:?}, not {again_ms:?}"))?;
        let known = self.schedules.fired(timer, next_ms);
        self.schedules_fired += 1;
        check(Rule::Timers, known == Some(due_ms), || format!("{timer:?} fires for {due_ms}, not {known:?}"))?;
        check(Rule::Timers, self.wall_ms >= due_ms, || format!("{timer:?} is early"))
    }

    /// Nothing is in flight: the engine returns when it has to be woken, and that is not after the next timer is due.
    ///
    /// # Errors
    /// It sleeps too long.
    pub fn check_wake(&self, wake_in_ms: Option<u64>) -> Checked {
        let due_ms = self.timers.values().copied().chain(self.schedules.next_due_ms()).min();
        let Some(due_ms) = due_ms else { return Ok(()) };
        let due_in_ms = due_ms.saturating_sub(self.wall_ms);
        let is_woken = wake_in_ms.is_some_and(|in_ms| in_ms <= due_in_ms);
        check(Rule::Liveness, is_woken, || format!("a timer is due in {due_in_ms} ms, and it wakes in {wake_in_ms:?}"))
    }
}
