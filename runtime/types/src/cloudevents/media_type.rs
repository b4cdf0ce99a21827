//! Media types: `type/subtype; name=value` as in RFC 2045 and 2046, with the grammar of RFC 9110 (8.3.1).

/// A parsed media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype`, in lower case.
    essence: String,
    /// Names in lower case, and values without their quotes.
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// `None` if the text is not a media type, or names a parameter twice.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.split_at(text.find([';', ' ', '\t']).unwrap_or(text.len()));
        let (r#type, subtype) = essence.split_once('/')?;
        if !is_token(r#type) || !is_token(subtype) {
            return None;
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            if rest.is_empty() {
                return Some(Self { essence: essence.to_ascii_lowercase(), parameters });
            }
            rest = rest.strip_prefix(';')?.trim_start_matches([' ', '\t']);
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let (name, value, after) = parameter(rest)?;
            if parameters.iter().any(|(other, _)| *other == name) {
                return None;
            }
            parameters.push((name, value));
            rest = after;
        }
    }

    /// `type/subtype`, in lower case.
    #[must_use]
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The value of `charset`.
    #[must_use]
    pub fn charset(&self) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name == "charset").map(|(_, value)| value.as_str())
    }

    /// Whether its content is text: of type `text`, XML or a form, or with a charset.
    #[must_use]
    pub fn is_text(&self) -> bool {
        const TEXTS: [&str; 3] = ["application/xml", "application/x-www-form-urlencoded", "application/javascript"];
        let essence = self.essence.as_str();
        essence.starts_with("text/")
            || essence.ends_with("+xml")
            || TEXTS.contains(&essence)
            || self.charset().is_some()
    }

    /// Whether text of this type is written in UTF-8 here: without a charset, or with UTF-8 or its part ASCII.
    #[must_use]
    pub fn takes(&self, text: &str) -> bool {
        self.charset().is_none_or(|charset| {
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("us-ascii") && text.is_ascii()
        })
    }
}

/// `name=value` at the start of `text`, and what follows.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    if !is_token(name) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, after) = quoted_string(quoted)?;
        return Some((name, value, after));
    }
    let (value, after) = rest.split_at(rest.find([';', ' ', '\t']).unwrap_or(rest.len()));
    is_token(value).then(|| (name, value.to_owned(), after))
}

/// A quoted string after its first quote, without its backslashes (RFC 9110, 5.6.4), and what follows its last quote.
#[must_use]
pub fn quoted_string(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.chars());
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_parsed() {
        for (text, essence, charset) in [
            ("text/plain", "text/plain", None),
            ("Application/JSON;Charset=UTF-8", "application/json", Some("UTF-8")),
            ("a/b ; charset=\"ut\\f-8\" ;", "a/b", Some("utf-8")),
            ("a/b;;x=\"a;b\";charset=x", "a/b", Some("x")),
            ("application/vnd.a.b+json; version=1", "application/vnd.a.b+json", None),
        ] {
            let parsed = MediaType::parse(text).expect(text);
            assert_eq!((parsed.essence(), parsed.charset()), (essence, charset), "{text}");
        }
        for text in [
            "",
            "xyz",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "a/b c",
            "a/b; x",
            "a/b; x=",
            "a/b; =x",
            "a/b;x= y",
            "a/b; x=\"y",
            "a/b; x=\"y\\",
            "a/b, c/d",
            "ä/b",
            "a/b;x=y;X=z",
            "text/plain (comment)",
        ] {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
    }
}
