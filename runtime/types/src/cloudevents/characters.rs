//! The characters of attributes: those of `CloudEvents`' strings, and fewer in keys.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system>)

/// The reason why a text may not be an attribute, if there is one: `CloudEvents`' strings hold no control characters and no
/// noncharacters.
#[must_use]
pub fn not_in_attributes(text: &str) -> Option<&'static str> {
    if is_printable_ascii(text) {
        return None;
    }
    let has = |is: fn(char) -> bool| text.chars().any(is);
    match text {
        _ if has(char::is_control) => Some("holds a control character"),
        _ if has(is_noncharacter) => Some("holds a noncharacter of Unicode"),
        _ => None,
    }
}

/// The same for a key, an identity, and the subject of a status: what people compare holds no characters either that show
/// other text in another order.
#[must_use]
pub fn not_in_keys(text: &str) -> Option<&'static str> {
    if is_printable_ascii(text) {
        return None;
    }
    let reordered =
        || text.chars().any(is_bidi_control).then_some("holds a character that changes the direction of text");
    not_in_attributes(text).or_else(reordered)
}

/// So nearly all are, and then there is nothing to look for.
fn is_printable_ascii(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'))
}

fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}

fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_ends_where_unicode_says() {
        for (text, in_attributes, in_keys) in [
            (" ~\u{a0}é€😀\u{200b}\u{2028}", true, true),
            ("\u{1f}", false, false),
            ("\u{7f}", false, false),
            ("\u{9f}", false, false),
            ("\u{fdcf}\u{fdf0}\u{fffd}", true, true),
            ("\u{fdd0}", false, false),
            ("\u{fdef}", false, false),
            ("\u{fffe}", false, false),
            ("\u{1fffe}", false, false),
            ("\u{10ffff}", false, false),
            ("\u{61b}\u{200d}\u{2010}\u{2029}\u{202f}\u{2065}\u{206a}", true, true),
            ("\u{61c}", true, false),
            ("\u{200e}", true, false),
            ("\u{200f}", true, false),
            ("\u{202a}", true, false),
            ("\u{202e}", true, false),
            ("\u{2066}", true, false),
            ("\u{2069}", true, false),
        ] {
            let found = (not_in_attributes(text).is_none(), not_in_keys(text).is_none());
            assert_eq!(found, (in_attributes, in_keys), "{text:?}");
        }
    }
}
