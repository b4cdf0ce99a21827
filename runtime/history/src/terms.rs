//! What the index is asked for, as 64-bit hashes under the log's secret, so that two terms with one hash cannot be constructed. They
//! may still meet: readers compare the record itself.

use weirgate_types::{HandlerName, KeyHasher};

/// Hashes terms.
#[derive(Debug, Clone, Copy)]
pub struct Terms(pub KeyHasher);

impl Terms {
    /// Everything of a key.
    pub fn key(self, key: &str) -> u64 {
        self.hash('k', &[key])
    }

    /// What a handler did with a key, or was decided about it.
    pub fn lane(self, handler: &HandlerName, key: &str) -> u64 {
        self.hash('d', &[handler.as_str(), key])
    }

    /// The state of a handler and key.
    pub fn state(self, handler: &HandlerName, key: &str) -> u64 {
        self.hash('s', &[handler.as_str(), key])
    }

    /// One value of it; never 0. Handler and key are part of it: so groups with one hash keep their values apart.
    pub fn value(self, handler: &HandlerName, key: &str, name: &str) -> u64 {
        let length = key.len().to_string();
        self.hash('v', &[handler.as_str(), &length, key, name]).max(1)
    }

    /// Writes of a handler's part of a subject's status, handling other keys than the one of that name.
    pub fn part(self, handler: &HandlerName, subject: &str) -> u64 {
        self.hash('p', &[handler.as_str(), subject])
    }

    /// Removals of a handler: what it wrote before one is no state of a later handler of its name.
    pub fn removals(self, handler: &HandlerName) -> u64 {
        self.hash('r', &[handler.as_str()])
    }

    /// Commits of a handler, of all keys.
    pub fn commits(self, handler: &HandlerName) -> u64 {
        self.hash('c', &[handler.as_str()])
    }

    /// Records in the place of lost ones.
    pub fn losses(self) -> u64 {
        self.hash('l', &[])
    }

    /// Deployments, removals, modes and breakers of a handler.
    pub fn handler(self, handler: &HandlerName) -> u64 {
        self.hash('h', &[handler.as_str()])
    }

    /// The same of all handlers.
    pub fn handlers(self) -> u64 {
        self.hash('a', &[])
    }

    /// Of the parts, only the last may hold the character that joins them, or the length of the one before it is among them.
    fn hash(self, kind: char, parts: &[&str]) -> u64 {
        let mut text = String::from(kind);
        for part in parts {
            text.push('\0');
            text.push_str(part);
        }
        self.0.hash(&text).0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn different_terms_have_different_hashes() {
        let terms = Terms(KeyHasher::new([1; 16]));
        let [a, b]: [HandlerName; 2] = ["a", "b"].map(|name| name.parse().expect("a name"));
        let all = [
            terms.key("a"),
            terms.key("b"),
            terms.key(""),
            terms.key("a\0b"),
            terms.lane(&a, "b"),
            terms.lane(&a, ""),
            terms.lane(&b, "a"),
            terms.state(&a, "b"),
            terms.value(&a, "b", "c"),
            terms.value(&a, "b\0c", ""),
            terms.value(&a, "b", "\0c"),
            terms.value(&b, "a", "c"),
            terms.part(&a, "b"),
            terms.part(&b, "b"),
            terms.handler(&a),
            terms.handler(&b),
            terms.handlers(),
            terms.removals(&a),
            terms.commits(&a),
            terms.losses(),
        ];
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert_ne!(terms.key("a"), Terms(KeyHasher::new([2; 16])).key("a"));
    }
}
