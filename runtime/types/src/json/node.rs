//! A parsed JSON text: each value with its original text.

use std::borrow::Cow;

use super::scan::{JsonError, Token, Tokens, unquoted};

/// A JSON value, as a part of the text that it was read from.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    text: &'a str,
    parts: Parts<'a>,
}

#[derive(Debug, Clone)]
enum Parts<'a> {
    None,
    Items(Vec<Node<'a>>),
    Members(Vec<Member<'a>>),
}

/// A member of an object.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub name: Cow<'a, str>,
    /// The name as written, with its quotes.
    pub name_text: &'a str,
    pub value: Node<'a>,
}

impl<'a> Node<'a> {
    /// Parses a text. `depth_max` bounds the recursion here and in processing the result.
    ///
    /// # Errors
    /// The text is not JSON, or nests deeper than that.
    pub fn parse(text: &'a str, depth_max: usize) -> Result<Self, JsonError> {
        let mut reader = Reader { text, tokens: Tokens::new(text, depth_max) };
        let first = reader.tokens.read()?;
        let node = reader.node(first)?;
        while reader.tokens.read()?.is_some() {}
        Ok(node)
    }

    /// The value as written, without surrounding whitespace.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text == "null"
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        self.text.starts_with('"').then(|| unquoted(self.text))
    }

    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.text.parse().ok()
    }

    /// The items of an array; empty for other values.
    #[must_use]
    pub fn items(&self) -> &[Node<'a>] {
        match &self.parts {
            Parts::Items(items) => items,
            Parts::None | Parts::Members(_) => &[],
        }
    }

    /// The members of an object, if it is one.
    #[must_use]
    pub fn members(&self) -> Option<&[Member<'a>]> {
        match &self.parts {
            Parts::Members(members) => Some(members),
            Parts::None | Parts::Items(_) => None,
        }
    }

    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self.parts, Parts::Items(_))
    }

    /// The member with that name; the last one if there are several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.members()?.iter().rfind(|member| member.name == name).map(|member| &member.value)
    }
}

struct Reader<'a> {
    text: &'a str,
    tokens: Tokens<'a>,
}

impl<'a> Reader<'a> {
    /// The value that begins with a given token.
    fn node(&mut self, first: Option<Token<'a>>) -> Result<Node<'a>, JsonError> {
        let start = self.tokens.at().saturating_sub(1);
        let parts = match first {
            Some(Token::BeginArray) => Parts::Items(self.items()?),
            Some(Token::BeginObject) => Parts::Members(self.members()?),
            Some(Token::Scalar(text)) => return Ok(Node { text, parts: Parts::None }),
            Some(Token::Name(_) | Token::EndArray | Token::EndObject) | None => Parts::None,
        };
        Ok(Node { text: self.text.get(start..self.tokens.at()).unwrap_or_default(), parts })
    }

    fn items(&mut self) -> Result<Vec<Node<'a>>, JsonError> {
        let mut items = Vec::new();
        loop {
            match self.tokens.read()? {
                Some(Token::EndArray) | None => return Ok(items),
                first => items.push(self.node(first)?),
            }
        }
    }

    fn members(&mut self) -> Result<Vec<Member<'a>>, JsonError> {
        let mut members = Vec::new();
        while let Some(Token::Name(name_text)) = self.tokens.read()? {
            let first = self.tokens.read()?;
            members.push(Member { name: unquoted(name_text), name_text, value: self.node(first)? });
        }
        Ok(members)
    }
}
