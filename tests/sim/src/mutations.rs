//! Checks the simulator: each seeded bug of the machine is switched on, and has to be found.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use weirgate_core::bugs::{ALL, Bug, switch};

use crate::{Rule, run_caught};

/// The result for a bug.
#[derive(Debug)]
pub struct Bite {
    pub bug: Bug,
    pub what: &'static str,
    /// After how many histories it was found, and which rule it violated.
    pub found: Option<(u64, Rule)>,
}

/// Searches for every bug, each in at most `most` histories; in the order of the table of bugs.
#[must_use]
pub fn bite(most: u64, threads: u64) -> Vec<Bite> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((bug, what)) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bite = Bite { bug: *bug, what, found: look_for(*bug, most) };
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(bite);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|bite| ALL.iter().position(|(bug, _)| *bug == bite.bug));
    found
}

fn look_for(bug: Bug, most: u64) -> Option<(u64, Rule)> {
    switch(Some(bug));
    let found = (0..most).find_map(|seed| Some((seed + 1, run_caught(seed).violation?.rule)));
    switch(None);
    found
}
