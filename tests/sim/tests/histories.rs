//! Histories of the simulator, as many as a test has time for; `weirgate-sim` runs more.

use weirgate_sim::run;

/// Some twenty seconds of one core.
const HISTORIES: u64 = 10_000;

#[test]
fn every_history_keeps_the_rules() {
    for seed in 0..HISTORIES {
        let outcome = run(seed);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.figures.faults >= 10, "seed {seed} has seen {} faults", outcome.figures.faults);
    }
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..200 {
        assert_eq!(run(seed).figures, run(seed).figures, "seed {seed}");
    }
    assert_ne!(run(1).figures.trace, run(2).figures.trace);
}

/// Paste a failing seed here to look at it alone.
#[test]
fn one_history() {
    assert_eq!(run(1).violation, None);
}
