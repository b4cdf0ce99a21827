//! Which events a handler takes: patterns of types and sources, their limits, and an index that finds an event's
//! subscriptions without testing every pattern.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{ManifestError, plain, within};

const SUBSCRIPTIONS_MAX: usize = 64;
/// Maximum number of type patterns in all subscriptions together.
const PATTERNS_MAX: usize = 1_024;
/// Maximum number of patterns with a `*` before the end: they are tested one by one.
const OPEN_PATTERNS_MAX: usize = 16;
const STARS_MAX: usize = 8;
const TYPE_PATTERN_BYTES_MAX: usize = 256;
/// The maximum length of the attribute, in bytes.
const SOURCE_PATTERN_BYTES_MAX: usize = 1_024;

/// Which events a handler takes.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Event types; `*` matches any run of characters, as in `order.*`.
    pub types: Vec<String>,
    /// Take only events from this source. `*` as in `types`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Event types that are corrections: if a delivery of the event's key awaits correction, it runs again with this event's
    /// data. If none does, the handler ignores the event, unless `types` matches it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<String>,
}

impl Subscription {
    #[must_use]
    pub fn matches(&self, r#type: &str, source: &str) -> bool {
        self.types.iter().any(|pattern| matches_type(pattern, r#type)) && self.matches_source(source)
    }

    /// Whether the event is a correction for this handler.
    #[must_use]
    pub fn corrects(&self, r#type: &str, source: &str) -> bool {
        self.corrections.iter().any(|pattern| matches_type(pattern, r#type)) && self.matches_source(source)
    }

    fn matches_source(&self, source: &str) -> bool {
        self.source.as_ref().is_none_or(|pattern| glob(pattern, source))
    }
}

/// # Errors
/// There are too many subscriptions or patterns, or one is too long.
pub(super) fn check(subscriptions: &[Subscription]) -> Result<(), ManifestError> {
    within("the number of subscriptions", subscriptions.len(), 0, SUBSCRIPTIONS_MAX)?;
    let patterns = || subscriptions.iter().flat_map(|one| one.types.iter().chain(&one.corrections));
    within("the number of patterns in types and corrections", patterns().count(), 0, PATTERNS_MAX)?;
    let open = patterns().filter(|pattern| matches!(Shape::of(pattern), Shape::Open)).count();
    within("the number of patterns with a * before the end", open, 0, OPEN_PATTERNS_MAX)?;
    for pattern in patterns() {
        within("the length of a pattern in types or corrections", pattern.len(), 1, TYPE_PATTERN_BYTES_MAX)?;
        check_pattern("a pattern in types or corrections", pattern)?;
    }
    for source in subscriptions.iter().filter_map(|one| one.source.as_ref()) {
        within("the length of subscriptions.source", source.len(), 1, SOURCE_PATTERN_BYTES_MAX)?;
        check_pattern("subscriptions.source", source)?;
    }
    Ok(())
}

/// Whether a subscription could have this pattern of types.
///
/// # Errors
/// It is empty, too long, or has too many `*`.
pub fn check_types(what: &'static str, pattern: &str) -> Result<(), ManifestError> {
    within(what, pattern.len(), 1, TYPE_PATTERN_BYTES_MAX)?;
    check_pattern(what, pattern)
}

fn check_pattern(what: &'static str, pattern: &str) -> Result<(), ManifestError> {
    plain(what, pattern)?;
    within("the number of * in a pattern", pattern.matches('*').count(), 0, STARS_MAX)
}

enum Shape<'a> {
    Exact,
    /// Its only `*` is at the end.
    Prefix(&'a str),
    Open,
}

impl<'a> Shape<'a> {
    fn of(pattern: &'a str) -> Self {
        match pattern.split_once('*') {
            None => Self::Exact,
            Some((prefix, "")) => Self::Prefix(prefix),
            Some(_) => Self::Open,
        }
    }
}

/// The subscriptions of a manifest, indexed by their types.
#[derive(Debug)]
pub struct Interest {
    types: Index,
    corrections: Index,
    /// One entry per subscription.
    sources: Vec<Option<String>>,
}

impl Interest {
    #[must_use]
    pub fn new(subscriptions: &[Subscription]) -> Self {
        let (mut types, mut corrections) = (Index::default(), Index::default());
        for (index, subscription) in subscriptions.iter().enumerate() {
            subscription.types.iter().for_each(|pattern| types.add(pattern, index));
            subscription.corrections.iter().for_each(|pattern| corrections.add(pattern, index));
        }
        Self { types, corrections, sources: subscriptions.iter().map(|one| one.source.clone()).collect() }
    }

    /// Whether the handler takes the event.
    #[must_use]
    pub fn matches(&self, r#type: &str, source: &str) -> bool {
        self.types.find(r#type).any(|index| self.matches_source(index, source))
    }

    /// Whether the event is a correction for this handler.
    #[must_use]
    pub fn corrects(&self, r#type: &str, source: &str) -> bool {
        self.corrections.find(r#type).any(|index| self.matches_source(index, source))
    }

    fn matches_source(&self, index: usize, source: &str) -> bool {
        let pattern = self.sources.get(index).and_then(Option::as_ref);
        pattern.is_none_or(|pattern| glob(pattern, source))
    }
}

/// From patterns to their subscriptions. Never iterated where order matters.
#[derive(Debug, Default)]
struct Index {
    exact: HashMap<String, Vec<usize>>,
    prefixes: HashMap<String, Vec<usize>>,
    prefix_lengths: BTreeSet<usize>,
    open: Vec<(String, usize)>,
}

impl Index {
    fn add(&mut self, pattern: &str, subscription: usize) {
        let found = match Shape::of(pattern) {
            Shape::Exact => self.exact.entry(pattern.to_owned()).or_default(),
            Shape::Prefix(prefix) => {
                self.prefix_lengths.insert(prefix.len());
                self.prefixes.entry(prefix.to_owned()).or_default()
            }
            Shape::Open => return self.open.push((pattern.to_owned(), subscription)),
        };
        if found.last() != Some(&subscription) {
            found.push(subscription);
        }
    }

    /// The subscriptions with a pattern that the type matches.
    fn find(&self, r#type: &str) -> impl Iterator<Item = usize> {
        let prefixes = self.prefixes_of(r#type).flatten().copied();
        let open = self.open.iter().filter(move |(pattern, _)| matches_type(pattern, r#type)).map(|(_, index)| *index);
        self.exact.get(r#type).into_iter().flatten().copied().chain(prefixes).chain(open)
    }

    fn prefixes_of(&self, r#type: &str) -> impl Iterator<Item = &Vec<usize>> {
        // The runtime's own types match only patterns with their prefix, not shorter ones.
        let least = if r#type.starts_with(RUNTIME_TYPES) { RUNTIME_TYPES.len() } else { 0 };
        let prefixes =
            self.prefix_lengths.range(least..=r#type.len().max(least)).filter_map(|length| r#type.get(..*length));
        prefixes.filter_map(|prefix| self.prefixes.get(prefix))
    }
}

/// Prefix of the runtime's own event types. Only a pattern with this prefix matches them: a handler of `*` does not get
/// notices of its own failures.
pub const RUNTIME_TYPES: &str = "weirgate.";

fn matches_type(pattern: &str, r#type: &str) -> bool {
    glob(pattern, r#type) && (pattern.starts_with(RUNTIME_TYPES) || !r#type.starts_with(RUNTIME_TYPES))
}

/// Whether all texts that match `other` match `pattern`. In `other`, a `*` stands for a character that only a `*` matches.
pub(super) fn covers(pattern: &str, other: &str) -> bool {
    glob(pattern, other)
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((piece, after)) = rest.split_once('*') {
        let Some(found) = text.find(piece) else { return false };
        text = text.get(found + piece.len()..).unwrap_or_default();
        rest = after;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(types: &[&str], source: Option<&str>, corrections: &[&str]) -> Subscription {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Subscription { types: owned(types), source: source.map(str::to_owned), corrections: owned(corrections) }
    }

    /// The index gives the same answers as testing the patterns one by one.
    #[test]
    fn the_index_matches_like_the_patterns() {
        let patterns =
            ["a", "a.b", "a.*", "a*", "*", "*.b", "a*b", "", "weirgate.*", "weirgate.a", "weirg*", "*gate.a", "é*"];
        let texts =
            ["a", "a.b", "a.c", "ab", "b", "", "weirgate.a", "weirgate.", "weirgate.a.b", "weirgate", "é", "éa"];
        for one in patterns {
            for other in patterns {
                let subscriptions =
                    [subscription(&[one], Some("/s/*"), &[other]), subscription(&[other], Some("/t"), &[one])];
                let interest = Interest::new(&subscriptions);
                for (text, source) in texts.iter().flat_map(|text| ["/s/1", "/t", "/u"].map(|source| (*text, source))) {
                    let takes = subscriptions.iter().any(|each| each.matches(text, source));
                    let corrects = subscriptions.iter().any(|each| each.corrects(text, source));
                    assert_eq!(interest.matches(text, source), takes, "{one} {other}: {text} of {source}");
                    assert_eq!(interest.corrects(text, source), corrects, "{one} {other}: {text} of {source}");
                }
            }
        }
    }

    /// The work for one event does not grow with the patterns that it does not match.
    #[test]
    fn other_patterns_cost_nothing() {
        for others in [100, 1_000] {
            let types: Vec<_> =
                (0..others).map(|n| format!("other.{n}{}", if n % 2 == 0 { "" } else { "*" })).collect();
            let mut one = subscription(&["order.placed", "order.*"], None, &[]);
            one.types.extend(types);
            let index = Interest::new(&[one]).types;
            assert_eq!(index.find("order.placed").count(), 2);
            // One look-up for the exact type, and one per prefix length.
            assert_eq!((index.prefix_lengths.len() <= 4, index.open.len()), (true, 0), "{others}");
        }
    }

    #[test]
    fn each_limit_is_met_from_both_sides() {
        let patterns = |count: usize, pattern: &str| subscription(&vec![pattern; count], None, &[]);
        let source = |pattern: &str| subscription(&["a"], Some(pattern), &[]);
        for (subscriptions, says) in [
            (vec![subscription(&["a"], None, &[]); SUBSCRIPTIONS_MAX], ""),
            (vec![subscription(&["a"], None, &[]); SUBSCRIPTIONS_MAX + 1], "the number of subscriptions is 65"),
            (vec![patterns(512, "a"), patterns(512, "a*")], ""),
            (vec![patterns(512, "a"), patterns(513, "a*")], "is 1025; allowed are 0 to 1024"),
            (vec![patterns(512, "a"), subscription(&[], None, &["b"; 513])], "is 1025"),
            (vec![patterns(OPEN_PATTERNS_MAX, "*a")], ""),
            (vec![patterns(OPEN_PATTERNS_MAX + 1, "a*b*")], "a * before the end is 17"),
            (vec![patterns(1, &"a".repeat(256))], ""),
            (vec![patterns(1, &"a".repeat(257))], "is 257; allowed are 1 to 256"),
            (vec![patterns(1, "")], "is 0; allowed are 1 to 256"),
            (vec![patterns(1, &"*".repeat(8))], ""),
            (vec![patterns(1, &"*".repeat(9))], "the number of * in a pattern is 9"),
            (vec![source(&"a".repeat(1_024))], ""),
            (vec![source(&"a".repeat(1_025))], "the length of subscriptions.source is 1025"),
            (vec![source(&"*".repeat(9))], "is 9; allowed are 0 to 8"),
        ] {
            let problem = check(&subscriptions).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(problem.contains(says) && says.is_empty() == problem.is_empty(), "{says}: {problem}");
        }
    }

    #[test]
    fn notices_match_only_patterns_with_their_prefix() {
        let takes = |pattern: &str, r#type| {
            let types = vec![pattern.to_owned()];
            Subscription { types, source: None, corrections: Vec::new() }.matches(r#type, "/weirgate")
        };
        assert!(!takes("*", "weirgate.delivery.failed"));
        assert!(takes("weirgate.delivery.*", "weirgate.delivery.failed"));
        assert!(takes("*", "order.placed"));
    }

    #[test]
    fn a_star_matches_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("order.placed", "order.placed", true),
            ("order.placed", "order.placed.late", false),
            ("order.*", "order.placed", true),
            ("*", "", true),
            ("*.failed", "payment.failed", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
