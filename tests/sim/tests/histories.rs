//! Histories of the simulator, as many as fit into a test's time; `weirgate-sim` runs more.

use weirgate_sim::{engine, engine::Stage, limits};

/// About half a minute of one core.
const HISTORIES: u64 = 3_000;
const LOSSES: u64 = 1_500;

/// The environment of histories, besides their seeds.
fn stage() -> Stage {
    Stage::new(vec![env!("CARGO_BIN_EXE_weirgate-sim").into(), "compile-module".into()])
}

#[test]
fn every_history_keeps_the_rules() {
    let (stage, mut repairs) = (stage(), 0);
    for seed in 0..HISTORIES {
        let outcome = engine::run(&stage, seed);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.figures.faults >= 10, "seed {seed} has seen {} faults", outcome.figures.faults);
        repairs += outcome.figures.repairs;
    }
    assert!(repairs > HISTORIES / 2, "{repairs} repairs");
}

#[test]
fn a_seed_is_one_history() {
    let stage = stage();
    let figures = |seed| engine::run(&stage, seed).figures;
    (0..100).for_each(|seed| assert_eq!(figures(seed), figures(seed), "seed {seed}"));
    assert_ne!(figures(1).trace, figures(2).trace);
}

#[test]
fn an_engine_continues_after_an_accepted_loss() {
    let stage = stage();
    for seed in 0..LOSSES {
        assert_eq!(engine::lose(&stage, seed).violation, None, "seed {seed}");
    }
}

/// Paste a failing seed here to run it alone.
#[test]
fn one_history() {
    assert_eq!(engine::run(&stage(), 1).violation, None);
}

/// Histories at the limits; `weirgate-sim --limits` runs more.
const LIMITS_HISTORIES: u64 = 100;

#[test]
fn no_input_within_the_limits_ends_the_engine() {
    let stage = stage();
    for seed in 0..LIMITS_HISTORIES {
        assert_eq!(limits::run(&stage, seed).violation, None, "seed {seed}");
    }
}
