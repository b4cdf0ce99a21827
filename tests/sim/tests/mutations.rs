//! Every seeded bug is found: `cargo test --release -p weirgate-sim --features bugs --test mutations`.
#![cfg(feature = "bugs")]

/// The rarest takes some thousand.
const HISTORIES_MAX: u64 = 60_000;

#[test]
fn every_seeded_bug_is_found() {
    let found = weirgate_sim::mutations::bite(HISTORIES_MAX, 2);
    assert!(found.len() >= 30, "there are {} bugs", found.len());
    let missed: Vec<_> = found.iter().filter(|bite| bite.found.is_none()).map(|bite| bite.bug).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
