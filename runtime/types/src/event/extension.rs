//! The value of an extension attribute, with its `CloudEvents` type.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system>)

use std::fmt;

/// The value of an extension attribute, in its canonical text. Made from text, an integer of 32 bits, or a Boolean; the other
/// types of `CloudEvents` are texts in JSON and in headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionValue {
    text: String,
    /// Whether the type is text; otherwise the text is `true`, `false` or an integer.
    is_text: bool,
}

/// Precedes, in a record, the text of a value that is no text. No text holds it, as it is a control character.
const NO_TEXT: char = '\u{1}';

impl ExtensionValue {
    /// The canonical text, which is what handlers get.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is text, not an integer or a Boolean.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// Length of the canonical text, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The value as in a record.
    pub(super) fn stored(&self) -> String {
        if self.is_text { self.text.clone() } else { format!("{NO_TEXT}{}", self.text) }
    }

    /// The value in a record; `None` if its type is unknown.
    pub(super) fn from_stored(stored: String) -> Option<Self> {
        match stored.strip_prefix(NO_TEXT) {
            None => Some(stored.into()),
            Some("true") => Some(true.into()),
            Some("false") => Some(false.into()),
            Some(integer) => integer.parse::<i32>().ok().map(Self::from),
        }
    }
}

impl From<String> for ExtensionValue {
    fn from(text: String) -> Self {
        Self { text, is_text: true }
    }
}

impl From<&str> for ExtensionValue {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<i32> for ExtensionValue {
    fn from(integer: i32) -> Self {
        Self { text: integer.to_string(), is_text: false }
    }
}

impl From<bool> for ExtensionValue {
    fn from(boolean: bool) -> Self {
        Self { text: boolean.to_string(), is_text: false }
    }
}

impl PartialEq<str> for ExtensionValue {
    fn eq(&self, text: &str) -> bool {
        self.text == text
    }
}

impl PartialEq<&str> for ExtensionValue {
    fn eq(&self, text: &&str) -> bool {
        self.text == *text
    }
}

impl fmt::Display for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
