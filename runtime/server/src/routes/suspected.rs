//! The hint about a delivery that may be waiting for itself, in words.

use weirgate_engine::{Suspected, Suspicion};

/// Maximum number of types that a hint names.
const TYPES_NAMED_MAX: usize = 3;
/// The guide's section on it.
const GUIDE: &str = "docs/guides/when-deliveries-fail.md, \"Waiting for another event\"";

/// What to look for, and where to read on.
pub fn hint(suspected: &Suspected) -> String {
    let Suspected { suspicion, behind, types } = suspected;
    let others = if *behind == 1 { "a later event waits" } else { "later events wait" };
    let mut named = types.iter().take(TYPES_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if types.len() > TYPES_NAMED_MAX {
        named.push_str(", ...");
    }
    match suspicion {
        Suspicion::Retries => format!(
            "{others} behind it ({named}); if it fails until one of them arrives, it waits for itself: complete it and keep \
             what it waits for in the state ({GUIDE})"
        ),
        Suspicion::Correction => format!(
            "{others} behind it ({named}); an event corrects it only if the manifest names its type in `corrections` ({GUIDE})"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_types_that_wait() {
        let types = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let suspected = |suspicion, behind: usize| Suspected { suspicion, behind, types: types[..behind].to_vec() };
        let one = hint(&suspected(Suspicion::Retries, 1));
        assert!(one.starts_with("a later event waits behind it (a); if it fails until"), "{one}");
        let four = hint(&suspected(Suspicion::Correction, 4));
        assert!(four.starts_with("later events wait behind it (a, b, c, ...); an event corrects it only if"), "{four}");
    }
}
