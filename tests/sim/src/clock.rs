//! What a history does with its clocks.

use weirgate_testkit::ManualClock;

use crate::Chance;

/// A day.
const LONG_MS: u64 = 86_400_000;
/// The wall clock's reading when a history begins.
const START_MS: u64 = 2_000_000_000;

/// The clocks of a history that begins.
pub fn begin() -> ManualClock {
    ManualClock::new(START_MS, 1_000)
}

/// The wall clock is set: by little or by much, forward or back.
pub fn step(clock: &ManualClock, chance: &mut Chance) {
    let by_ms = match chance.below(4) {
        0 => chance.below(2_000),
        1 => chance.below(60_000),
        2 => 3_600_000,
        _ => chance.below(LONG_MS),
    };
    let wall_ms = clock.wall_ms();
    clock.set_wall_ms(match chance.one_in(2) {
        true => wall_ms.saturating_add(by_ms),
        false => wall_ms.saturating_sub(by_ms),
    });
}

/// The machine is switched off and on: some time passes, or it has no battery and starts in 1970 until its clock is set.
pub fn restart(clock: &ManualClock, chance: &mut Chance) {
    match chance.below(12) {
        0 => clock.set_wall_ms(chance.below(LONG_MS)),
        1 => clock.set_wall_ms(clock.wall_ms().max(START_MS)),
        2 => step(clock, chance),
        _ => {}
    }
    clock.set_monotonic_ms(chance.below(5_000));
}
