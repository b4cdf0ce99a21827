//! Changes JSON without touching the rest: merge patches (RFC 7396), and differences as JSON patches (RFC 6902). Values that
//! a patch does not name keep their bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    node::{Member, Node},
    quoted,
};

/// A value with a merge patch applied.
#[must_use]
pub fn merge(target: &Node, patch: &Node) -> String {
    let mut merged = String::with_capacity(target.text().len() + patch.text().len());
    write_merged(&mut merged, Some(target), patch);
    merged
}

fn write_merged(out: &mut String, target: Option<&Node>, patch: &Node) {
    let Some(changes) = patch.members() else { return out.push_str(patch.text()) };
    let kept = target.and_then(Node::members).unwrap_or_default();
    let (kept_last, changes_last) = (last_of_each(kept), last_of_each(changes));
    out.push('{');
    let begin = out.len();
    for (index, member) in kept.iter().enumerate() {
        match changes_last.get(&*member.name).and_then(|change| changes.get(*change)) {
            None => write_member(out, begin, member.name_text, |out| out.push_str(member.value.text())),
            Some(change) if change.value.is_null() || kept_last.get(&*member.name) != Some(&index) => {}
            Some(change) => write_member(out, begin, member.name_text, |out| {
                write_merged(out, Some(&member.value), &change.value);
            }),
        }
    }
    for (index, change) in changes.iter().enumerate() {
        let is_new = !kept_last.contains_key(&*change.name) && changes_last.get(&*change.name) == Some(&index);
        if is_new && !change.value.is_null() {
            write_member(out, begin, change.name_text, |out| write_merged(out, None, &change.value));
        }
    }
    out.push('}');
}

/// `begin` is where the object's members begin.
fn write_member(out: &mut String, begin: usize, name_text: &str, value: impl FnOnce(&mut String)) {
    if out.len() > begin {
        out.push(',');
    }
    out.push_str(name_text);
    out.push(':');
    value(out);
}

fn last_of_each<'m>(members: &'m [Member]) -> BTreeMap<&'m str, usize> {
    members.iter().enumerate().map(|(index, member)| (&*member.name, index)).collect()
}

fn value<'m, 'a>(members: &'m [Member<'a>], index: Option<&usize>) -> Option<&'m Node<'a>> {
    members.get(*index?).map(|member| &member.value)
}

/// The difference of two values, as the text of a JSON patch. Numbers differ when they are written differently; strings when
/// their texts differ. If the steps would be much longer than the values, it is one step that replaces everything.
#[must_use]
pub fn difference(before: &Node, after: &Node) -> String {
    let bytes_max = (before.text().len() + after.text().len()) * STEPS_FACTOR_MAX + STEPS_BYTES_MIN;
    let mut steps = Steps { out: "[".to_owned(), path: String::new(), bytes_max };
    steps.compare(before, after);
    if steps.is_full() {
        steps = Steps { out: "[".to_owned(), path: String::new(), bytes_max };
        steps.push("replace", Some(after));
    }
    steps.out.push(']');
    steps.out
}

/// Maximum size of the steps, as a multiple of the two values together.
const STEPS_FACTOR_MAX: usize = 2;
const STEPS_BYTES_MIN: usize = 4096;

struct Steps {
    out: String,
    /// The JSON pointer (RFC 6901) to the compared value.
    path: String,
    /// When `out` is longer, the comparison stops: each step repeats the path to its value.
    bytes_max: usize,
}

impl Steps {
    fn is_full(&self) -> bool {
        self.out.len() > self.bytes_max
    }

    fn compare(&mut self, before: &Node, after: &Node) {
        match (before.members(), after.members()) {
            _ if self.is_full() => {}
            (Some(before), Some(after)) => self.compare_members(before, after),
            (None, None) if before.is_array() && after.is_array() => self.compare_items(before.items(), after.items()),
            (None, None) if !before.is_array() && !after.is_array() && is_same_scalar(before, after) => {}
            _ => self.push("replace", Some(after)),
        }
    }

    fn compare_members(&mut self, before: &[Member], after: &[Member]) {
        let (before_last, after_last) = (last_of_each(before), last_of_each(after));
        let names: BTreeSet<&str> = before_last.keys().chain(after_last.keys()).copied().collect();
        for name in names {
            let pair = (value(before, before_last.get(name)), value(after, after_last.get(name)));
            self.at(&name.replace('~', "~0").replace('/', "~1"), |steps| match pair {
                (Some(before), Some(after)) => steps.compare(before, after),
                (None, Some(after)) => steps.push("add", Some(after)),
                (Some(_), None) => steps.push("remove", None),
                (None, None) => {}
            });
        }
    }

    fn compare_items(&mut self, before: &[Node], after: &[Node]) {
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            self.at(&index.to_string(), |steps| steps.compare(before, after));
        }
        for index in (after.len()..before.len()).rev() {
            self.at(&index.to_string(), |steps| steps.push("remove", None));
        }
        for (index, item) in after.iter().enumerate().skip(before.len()) {
            self.at(&index.to_string(), |steps| steps.push("add", Some(item)));
        }
    }

    fn at(&mut self, part: &str, work: impl FnOnce(&mut Self)) {
        if self.is_full() {
            return;
        }
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(part);
        work(self);
        self.path.truncate(length);
    }

    fn push(&mut self, op: &str, value: Option<&Node>) {
        let comma = if self.out.len() > 1 { "," } else { "" };
        let value = value.map(|value| format!(r#","value":{}"#, value.text())).unwrap_or_default();
        let path = quoted(&self.path);
        // Writing to a string does not fail.
        let _ = write!(self.out, r#"{comma}{{"op":"{op}","path":{path}{value}}}"#);
    }
}

fn is_same_scalar(before: &Node, after: &Node) -> bool {
    before.text() == after.text() || before.as_str().is_some() && before.as_str() == after.as_str()
}
