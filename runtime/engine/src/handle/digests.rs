//! Digests as operators give them: whole, or their first digits.

use weirgate_types::Digest;

use super::{Handle, blocking};
use crate::Refusal;

/// Fewer digits than this name too many modules to be meant.
const DIGITS_MIN: usize = 4;

impl Handle {
    /// The digest that a text names: all of it, or the first digits of that of a stored module.
    ///
    /// # Errors
    /// The text is no digest, or no module's or more than one module's digest begins so.
    pub async fn digest(&self, text: &str) -> Result<Digest, Refusal> {
        let whole = text.parse::<Digest>();
        if whole.is_ok() {
            return Ok(whole?);
        }
        let Some(digits) = prefix(text) else { return Ok(whole?) };
        let modules = std::sync::Arc::clone(&self.0.modules);
        let known = blocking(move || modules.host().modules()).await??;
        only(&digits, known)
    }
}

/// The first digits of a digest, if the text is that.
fn prefix(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let is_part = (DIGITS_MIN..64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_part.then_some(digits)
}

/// The one digest that begins with these digits.
fn only(digits: &str, known: impl IntoIterator<Item = Digest>) -> Result<Digest, Refusal> {
    let mut found = known.into_iter().filter(|digest| digest.to_hex().starts_with(digits));
    match (found.next(), found.next()) {
        (Some(digest), None) => Ok(digest),
        (Some(_), Some(_)) => Err(Refusal::AmbiguousDigest(digits.to_owned())),
        (None, _) => Err(Refusal::UnknownDigest(digits.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_one_module_or_is_refused() {
        let known =
            [Digest([0xab; 32]), Digest([0xcd; 32]), Digest(std::array::from_fn(|at| if at < 3 { 0xab } else { 0 }))];
        for (text, digits) in [
            ("abab", Some("abab")),
            ("sha256:ABAB", Some("abab")),
            ("aba", None),
            ("", None),
            ("sha256:", None),
            ("abxy", None),
            (&"a".repeat(64), None),
        ] {
            assert_eq!(prefix(text).as_deref(), digits, "{text}");
        }
        assert_eq!(only("cdcd", known).expect("one"), known[1]);
        assert_eq!(only("ababab0", known).expect("one"), known[2]);
        assert!(matches!(only("abab", known), Err(Refusal::AmbiguousDigest(_))));
        assert!(matches!(only("1234", known), Err(Refusal::UnknownDigest(_))));
    }
}
