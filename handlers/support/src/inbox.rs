//! The list itself: open cases, by name, within bounds. Pure.

use serde::{Deserialize, Serialize};

/// Maximum number of kept cases; more are only counted.
pub const ITEMS_MAX: usize = 40;
/// Maximum length of texts.
const TEXT_CHARS_MAX: usize = 160;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A delivery whose data has to be corrected.
    Waiting,
    /// A dead letter.
    DeadLettered,
    /// An open breaker.
    BreakerOpen,
}

/// A case for support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The delivery, or the breaker's subject.
    pub name: String,
    pub kind: Kind,
    /// The delivery's key and its event's type; empty for a breaker.
    pub key: String,
    pub r#type: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what_is_wrong: Option<String>,
}

impl Item {
    /// The item with texts cut to fit into the list.
    #[must_use]
    pub fn cut(mut self) -> Self {
        for text in [&mut self.name, &mut self.key, &mut self.r#type, &mut self.message]
            .into_iter()
            .chain(&mut self.what_is_wrong)
        {
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
                text.truncate(end);
            }
        }
        self
    }
}

/// The oldest ones first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Inbox {
    pub items: Vec<Item>,
    /// Number of cases that came when the list was full and are still open as far as known.
    pub left_out: u64,
}

impl Inbox {
    /// Adds an item to the list, replacing an earlier one of the same case.
    pub fn add(&mut self, item: Item) {
        let is_full = self.items.len() >= ITEMS_MAX;
        match self.items.iter_mut().find(|known| known.name == item.name) {
            Some(known) => *known = item,
            None if is_full => self.left_out = self.left_out.saturating_add(1),
            None => self.items.push(item),
        }
    }

    /// Removes a settled case. One that is not on the list may be one that was left out.
    pub fn settle(&mut self, name: &str) {
        let before = self.items.len();
        self.items.retain(|item| item.name != name);
        if self.items.len() == before && before == ITEMS_MAX {
            self.left_out = self.left_out.saturating_sub(1);
        }
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.items.iter().filter(|item| item.kind == kind).count()
    }
}
