//! A short run of every fuzz target: its seeds, then some thousand mutations of them, the same ones each time.
//! `WEIRGATE_FUZZ_RUNS` sets their number, `WEIRGATE_FUZZ_SEED` selects others, `WEIRGATE_FUZZ_TARGET` selects one target.
// A failed read or write fails the test.
#![allow(clippy::indexing_slicing)]

mod mutation;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use mutation::Mutations;
use peak_alloc::PeakAlloc;
use weirgate_fuzz::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Some seconds for each target.
const RUNS: u64 = 100_000;
/// Maximum memory of a decoder: a constant, plus a multiple of the input's size.
const MEMORY_BYTES: usize = 12 << 20;
const MEMORY_BYTES_PER_BYTE: usize = 200;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |given| given.parse().expect("a number"))
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let entries = std::fs::read_dir(folder).expect("a folder of seeds").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds
}

/// Runs the target; if a property is violated, keeps the input and prints its file name.
fn check(target: &Target, input: &[u8]) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let is_sound = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
    let used = MEMORY.peak_usage().saturating_sub(before);
    let is_bounded = used <= MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * input.len();
    if !is_sound || !is_bounded {
        let kept = std::env::temp_dir().join(format!("weirgate-fuzz-{}", target.name));
        std::fs::write(&kept, input).expect("the input is kept");
        panic!(
            "{} fails ({} bytes of input, {used} bytes of memory); it is in {}",
            target.name,
            input.len(),
            kept.display()
        );
    }
}

/// One test, so that the memory of one target is not counted as another's.
#[test]
fn every_target_keeps_its_properties() {
    let (runs, seed) = (number("WEIRGATE_FUZZ_RUNS", RUNS), number("WEIRGATE_FUZZ_SEED", 1));
    let only = std::env::var("WEIRGATE_FUZZ_TARGET").ok();
    for target in TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| only == target.name)) {
        let seeds = seeds(target);
        for seed in &seeds {
            check(target, seed);
        }
        let mut mutations = Mutations::new(seed, &seeds, target.words);
        for _ in 0..runs {
            check(target, &mutations.next());
        }
    }
}
