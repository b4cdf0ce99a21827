//! What a removed handler has done is history, also where one of the same name gets the same events again.

use weirgate_types::Removed;

use super::*;

impl World {
    fn remove(&mut self, handler: &str) {
        let (actor, reason) = (String::new(), String::new());
        self.stage(&Record::Removed(Removed { handler: name(handler), actor, reason, at_ms: 0 }));
        self.versions.remove(&name(handler));
        self.states.retain(|(of, _), _| *of != name(handler));
    }
}

/// A world in which handlers are removed and deployed again, after a part of the numbers: that of totals with other code.
fn lived(numbers: &[(String, u64)], removed: &[&str], [before, after]: [&Handler; 2]) -> World {
    let (first, second) = numbers.split_at(numbers.len() / 2);
    let mut world = live(Arc::clone(before), first);
    for handler in removed {
        world.remove(handler);
    }
    for handler in removed {
        match *handler {
            TOTALS => world.begin(TOTALS, "number", Arc::clone(after)),
            _ => world.begin(REPORTS, "total", reports()),
        }
    }
    second.iter().enumerate().for_each(|(id, (key, n))| world.accept(first.len() + id, key, *n));
    world
}

#[test]
fn what_a_removed_handler_has_done_is_history() {
    for seed in 0..100 {
        let (old, new, numbers) = (totals(5), totals(0), numbers(seed));
        for removed in [&[TOTALS][..], &[TOTALS, REPORTS], &[REPORTS, TOTALS]] {
            let before = lived(&numbers, removed, [&old, &old]);
            let other = lived(&numbers, removed, [&old, &new]);
            let alone = before.examine(&new, None);
            let differing: BTreeSet<LaneId> = alone.keys().cloned().collect();
            let examined = before.examine(&new, Some(&differing));
            let wanted = states_of(&other, &[TOTALS, REPORTS]);
            assert_eq!(with_differences(&before, &examined), wanted, "seed {seed}, {removed:?}: {numbers:?}");
            let emitted = |examined: &Examined| !examined.lane.emissions().is_empty();
            let same = before.emitted == other.emitted;
            assert_eq!(same, !alone.values().any(emitted), "seed {seed}, {removed:?}: {numbers:?}");
        }
    }
}
