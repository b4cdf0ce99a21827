//! Data of events and values of the state, shortened for answers.

use serde::Serialize;
use utoipa::ToSchema;

/// Data or a value, shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Shown {
    /// Its beginning; absent if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether the text is cut off.
    pub is_cut: bool,
    /// Its whole size.
    pub bytes: u64,
}

impl Shown {
    /// Its beginning, at most that many characters.
    pub fn of(bytes: &[u8], chars_max: usize) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let end = text.and_then(|text| Some(text.char_indices().nth(chars_max)?.0));
        let shown = text.map(|text| end.and_then(|end| text.get(..end)).unwrap_or(text).to_owned());
        Self { text: shown, is_cut: end.is_some(), bytes: bytes.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_shortened_at_a_character() {
        let of = |bytes: &[u8]| {
            let Shown { text, is_cut, bytes } = Shown::of(bytes, 3);
            (text, is_cut, bytes)
        };
        assert_eq!(of(b""), (Some(String::new()), false, 0));
        assert_eq!(of("äöü".as_bytes()), (Some("äöü".into()), false, 6));
        assert_eq!(of("äöüx".as_bytes()), (Some("äöü".into()), true, 7));
        assert_eq!(of(&[0xff, 0]), (None, false, 2));
    }
}
