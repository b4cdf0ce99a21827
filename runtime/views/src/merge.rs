//! Merges two sorted runs of entries, of which the newer hides entries of the older with the same key.

use std::{cmp::Ordering, iter::Peekable};

use crate::error::ViewError;

/// A key and its value; `None` where it was removed.
pub type Entry = Result<(Vec<u8>, Option<Vec<u8>>), ViewError>;

pub struct Merge<A: Iterator, B: Iterator> {
    newer: Peekable<A>,
    older: Peekable<B>,
}

impl<A: Iterator, B: Iterator> Merge<A, B> {
    pub fn new(newer: A, older: B) -> Self {
        Self { newer: newer.peekable(), older: older.peekable() }
    }
}

impl<A: Iterator<Item = Entry>, B: Iterator<Item = Entry>> Iterator for Merge<A, B> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let order = match (self.newer.peek(), self.older.peek()) {
            (Some(Ok((newer, _))), Some(Ok((older, _)))) => newer.cmp(older),
            // An error is returned as soon as it is met.
            (Some(Err(_)), _) | (_, None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        if order == Ordering::Equal {
            self.older.next();
        }
        if order == Ordering::Greater { self.older.next() } else { self.newer.next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_entry_hides_the_older_one() {
        let run = |entries: &[(&str, Option<&str>)]| {
            let entries = entries.iter().map(|(key, value)| Ok((key.as_bytes().to_vec(), value.map(Into::into))));
            entries.collect::<Vec<Entry>>().into_iter()
        };
        let newer = run(&[("b", Some("2")), ("c", None), ("e", Some("2"))]);
        let older = run(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1")), ("d", Some("1"))]);
        let merged: Vec<_> = Merge::new(newer, older).collect();
        let expected = run(&[("a", Some("1")), ("b", Some("2")), ("c", None), ("d", Some("1")), ("e", Some("2"))]);
        assert_eq!(merged, expected.collect::<Vec<_>>());
    }
}
