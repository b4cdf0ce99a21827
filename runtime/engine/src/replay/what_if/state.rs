//! What a delivery of the fork reads of its key's state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weirgate_host::{ReadState, StateError};

/// The state of a key in the fork: what differs over what the log holds.
pub struct ForkState {
    base: Box<dyn ReadState>,
    differs: Arc<BTreeMap<String, Option<Vec<u8>>>>,
    names: Names,
}

/// The names of the values that were read, shared by clones.
#[derive(Debug, Default, Clone)]
pub struct Names(Arc<Mutex<Read>>);

#[derive(Debug, Default)]
struct Read {
    names: BTreeSet<String>,
    prefixes: Vec<String>,
}

impl Names {
    /// Whether the value was read, or listed.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let read = self.read();
        read.names.contains(name) || read.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForkState {
    #[must_use]
    pub fn new(base: Box<dyn ReadState>, differs: Arc<BTreeMap<String, Option<Vec<u8>>>>, names: &Names) -> Self {
        Self { base, differs, names: names.clone() }
    }

    /// At least `limit` names of the base that the fork has, too, or all that there are.
    fn stands(&self, prefix: &str, limit: usize) -> Result<BTreeSet<String>, StateError> {
        let mut asked = limit;
        loop {
            let mut stands = self.base.list(prefix, asked)?;
            let is_all = stands.len() < asked;
            stands.retain(|name| !matches!(self.differs.get(name), Some(None)));
            if is_all || stands.len() >= limit {
                return Ok(stands.into_iter().collect());
            }
            asked = asked.saturating_mul(2);
        }
    }
}

impl ReadState for ForkState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.names.read().names.insert(name.to_owned());
        // The base is read in any case: how many reads it has seen may decide what it holds.
        let stands = self.base.get(name)?;
        Ok(self.differs.get(name).cloned().unwrap_or(stands))
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        self.names.read().prefixes.push(prefix.to_owned());
        let mut names = self.stands(prefix, limit)?;
        let differs = self.differs.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        names.extend(differs.filter(|(_, value)| value.is_some()).map(|(name, _)| name.clone()).take(limit));
        Ok(names.into_iter().take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Base(BTreeMap<String, Vec<u8>>);

    impl ReadState for Base {
        fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.get(name).cloned())
        }

        fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
            let names = self.0.keys().filter(|name| name.starts_with(prefix));
            Ok(names.take(limit).cloned().collect())
        }
    }

    #[test]
    fn differing_values_are_read_over_the_recorded_ones() {
        let base = Base(["a", "b", "c"].map(|name| (name.to_owned(), vec![1])).into());
        let differs = [("a".to_owned(), None), ("b".to_owned(), Some(vec![2])), ("d".to_owned(), Some(vec![3]))].into();
        let names = Names::default();
        let state = ForkState::new(Box::new(base), Arc::new(differs), &names);
        let get = |name| state.get(name).expect("it can be read");
        assert_eq!([get("a"), get("b"), get("c"), get("d")], [None, Some(vec![2]), Some(vec![1]), Some(vec![3])]);
        assert_eq!(state.list("", 9).expect("it can be read"), ["b", "c", "d"]);
        assert_eq!(state.list("", 2).expect("it can be read"), ["b", "c"], "as many as were asked for");
        assert!(names.has("a") && names.has("x"), "all names were listed");
        let all_gone = ["a", "b", "c"].map(|name| (name.to_owned(), None)).into();
        let base = Base(["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), vec![1])).into());
        let state = ForkState::new(Box::new(base), Arc::new(all_gone), &names);
        for limit in 0..4 {
            assert_eq!(state.list("", limit).expect("it can be read"), ["d", "e"][..limit.min(2)]);
        }
        let unlisted = Names::default();
        assert!(!unlisted.has("a"));
    }
}
