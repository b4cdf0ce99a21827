//! The columns of tables: which member of an item they show, and how.

use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact};

use super::{layout::Fit, moments};
use crate::output::printable;

/// How many digits of a digest are shown: enough to name it by.
const DIGEST_DIGITS: usize = 12;

/// A column: its title, the member that it shows (a `.` leads into a nested object), and what becomes of it at a narrow
/// terminal.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    member: &'static str,
    shown: Shown,
    fit: Fit,
}

#[derive(Debug, Clone, Copy)]
enum Shown {
    AsIs,
    /// Unix milliseconds, by the local clock and relative.
    Moment,
    /// Unix milliseconds, as the time since then.
    Age,
    /// Milliseconds.
    Duration,
    Digest,
}

impl Column {
    /// A member as it is; its name is the title. It is never cut.
    pub const fn of(member: &'static str) -> Self {
        Self::named(member, member)
    }

    pub const fn named(title: &'static str, member: &'static str) -> Self {
        Self::shown(title, member, Shown::AsIs)
    }

    pub const fn moment(title: &'static str, member: &'static str) -> Self {
        Self::shown(title, member, Shown::Moment)
    }

    pub const fn age(title: &'static str, member: &'static str) -> Self {
        Self::shown(title, member, Shown::Age)
    }

    pub const fn duration(title: &'static str, member: &'static str) -> Self {
        Self::shown(title, member, Shown::Duration)
    }

    pub const fn digest(member: &'static str) -> Self {
        Self::shown(member, member, Shown::Digest)
    }

    const fn shown(title: &'static str, member: &'static str, shown: Shown) -> Self {
        Self { title, member, shown, fit: Fit::Whole }
    }

    /// The column may be left out; those with the lowest rank go first.
    pub const fn dropped(self, rank: u8) -> Self {
        Self { fit: Fit::Dropped(rank), ..self }
    }

    /// The column holds texts, which continue on further lines.
    pub const fn wrapped(self) -> Self {
        Self { fit: Fit::Wrapped, ..self }
    }

    pub fn fit(&self) -> Fit {
        self.fit
    }

    pub fn title(&self) -> String {
        self.title.to_uppercase().replace('_', " ")
    }

    /// The cell of an item, safe to print; `-` if the item lacks the member.
    pub fn cell(&self, item: &Node, now_ms: u64) -> String {
        let found = self.member.split('.').try_fold(item, |node, name| node.get(name));
        let Some(node) = found.filter(|node| !node.is_null()) else { return "-".into() };
        match (self.shown, node.as_u64(), node.as_str()) {
            (Shown::Moment, Some(at_ms), _) => moments::moment(at_ms, now_ms),
            (Shown::Age, Some(at_ms), _) => moments::duration(now_ms.saturating_sub(at_ms)),
            (Shown::Duration, Some(ms), _) => moments::duration(ms),
            (Shown::Digest, _, Some(digest)) => short(&digest),
            (_, _, Some(text)) => printable(&text).into_owned(),
            _ => printable(&compact(node.text(), SHOWN_DEPTH_MAX).unwrap_or_default()).into_owned(),
        }
    }
}

/// The beginning of a digest, which is accepted in place of the whole.
fn short(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    printable(digits).chars().take(DIGEST_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_for_people() {
        let json = r#"{"id":"a@1","at_ms":1000,"digest":"sha256:0123456789abcdef","event":{"type":"x\u001b[2J"},"n":null,"l":[1, 2]}"#;
        let item = Node::parse(json, 10).expect("JSON");
        for (column, cell) in [
            (Column::of("id"), "a@1"),
            (Column::age("age", "at_ms"), "1m"),
            (Column::duration("d", "at_ms"), "1s"),
            (Column::digest("digest"), "0123456789ab"),
            (Column::named("type", "event.type"), "x\\u{1b}[2J"),
            (Column::of("n"), "-"),
            (Column::of("absent"), "-"),
            (Column::of("l"), "[1,2]"),
        ] {
            assert_eq!(column.cell(&item, 61_000), cell);
        }
        assert_eq!(Column::of("open_until_ms").title(), "OPEN UNTIL MS");
    }
}
