//! The definition of valid JSON, as a scanner that returns pieces of the text as written. No number is ever converted. It
//! needs only `std`, because the SDK's test kit is built from the same file.
//!
//! RFC 8259 in UTF-8, without a byte order mark, with two choices where the RFC leaves one: escapes have to form Unicode
//! text (no unpaired surrogates), and nesting has a limit. Numbers have any length and any exponent. A name may occur twice
//! in an object; code that has to choose takes the last one.

use std::{borrow::Cow, fmt};

/// Why a text is not accepted as JSON, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    pub kind: JsonErrorKind,
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonErrorKind {
    NotUtf8,
    ByteOrderMark,
    TooDeep {
        max: usize,
    },
    Truncated,
    Trailing,
    /// The expected token.
    Expected(&'static str),
    ControlCharacter,
    Escape,
    UnpairedSurrogate,
    Number,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            JsonErrorKind::NotUtf8 => write!(f, "it is not UTF-8"),
            JsonErrorKind::ByteOrderMark => write!(f, "it begins with a byte order mark"),
            JsonErrorKind::TooDeep { max } => write!(f, "it is nested more than {max} levels deep"),
            JsonErrorKind::Truncated => write!(f, "it ends too early"),
            JsonErrorKind::Trailing => write!(f, "something follows the value"),
            JsonErrorKind::Expected(what) => write!(f, "expected {what}"),
            JsonErrorKind::ControlCharacter => write!(f, "a string holds a control character that is not escaped"),
            JsonErrorKind::Escape => write!(f, "a string holds an unknown escape"),
            JsonErrorKind::UnpairedSurrogate => write!(f, "a string holds half of a surrogate pair"),
            JsonErrorKind::Number => write!(f, "a number is not written as JSON numbers are"),
        }?;
        write!(f, " at byte {}", self.at)
    }
}

impl std::error::Error for JsonError {}

/// A piece of a JSON text, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    BeginObject,
    EndObject,
    BeginArray,
    EndArray,
    /// The name of a member, with its quotes and escapes.
    Name(&'a str),
    /// A string (with its quotes and escapes), a number, `true`, `false` or `null`.
    Scalar(&'a str),
}

/// Checks that a text is one JSON value that nests at most `depth_max` levels deep. Returns it as text.
///
/// # Errors
/// The problem and its location.
pub fn check(json: &[u8], depth_max: usize) -> Result<&str, JsonError> {
    let text = std::str::from_utf8(json)
        .map_err(|error| JsonError { kind: JsonErrorKind::NotUtf8, at: error.valid_up_to() })?;
    let mut tokens = Tokens::new(text, depth_max);
    while tokens.read()?.is_some() {}
    Ok(text)
}

/// The text of a string token without quotes and escapes.
#[must_use]
pub fn unquoted(string: &str) -> Cow<'_, str> {
    let inner = string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(string);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        rest = push_unescaped(&mut text, escaped);
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Appends the character of the escape at the beginning of `escaped`; returns the rest.
fn push_unescaped<'a>(text: &mut String, escaped: &'a str) -> &'a str {
    let mut chars = escaped.chars();
    let simple = match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let unit = |text: &str| text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
            let rest = chars.as_str();
            let low = rest.get(4..).and_then(|rest| unit(rest.strip_prefix("\\u")?));
            let units = [unit(rest), low].map(Option::unwrap_or_default);
            let pair = char::decode_utf16(units).next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER);
            text.push(pair);
            return rest.get(if pair.len_utf16() == 2 { 10 } else { 4 }..).unwrap_or_default();
        }
        Some(other) => other,
        None => return "",
    };
    text.push(simple);
    chars.as_str()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Value,
    ValueOrEnd,
    NameOrEnd,
    SeparatorOrEnd,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// Number of bytes before the first quote, backslash or control character. Looks at eight at a time: most of a text is strings.
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The highest bit of each byte below `limit`, which is at most 128. Bytes behind one of those may get it too.
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (EACH * u64::from(b'"')), 1);
        let backslash = below(word ^ (EACH * u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    words.len() * 8 + rest.iter().take_while(is_plain).count()
}

/// Reads a JSON text token by token. The text is JSON if every call until the one that returns `None` succeeds.
#[derive(Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Container>,
    depth_max: usize,
    expects: Expects,
}

impl<'a> Tokens<'a> {
    #[must_use]
    pub fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, open: Vec::new(), depth_max, expects: Expects::Value }
    }

    /// The offset after the last token.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next token; `None` at the end.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn read(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        self.skip_space();
        match self.expects {
            Expects::Nothing => match self.peek() {
                None => Ok(None),
                Some(_) => self.fail(JsonErrorKind::Trailing),
            },
            Expects::SeparatorOrEnd => self.after_value().map(Some),
            Expects::ValueOrEnd if self.peek() == Some(b']') => Ok(Some(self.close())),
            Expects::NameOrEnd if self.peek() == Some(b'}') => Ok(Some(self.close())),
            Expects::Value | Expects::ValueOrEnd => self.value().map(Some),
            Expects::NameOrEnd => self.name().map(Some),
        }
    }

    fn after_value(&mut self) -> Result<Token<'a>, JsonError> {
        let (closing, what) = match self.open.last() {
            Some(Container::Object) => (b'}', "`,` or `}`"),
            _ => (b']', "`,` or `]`"),
        };
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                if closing == b'}' { self.name() } else { self.value() }
            }
            Some(byte) if byte == closing => Ok(self.close()),
            _ => self.fail(JsonErrorKind::Expected(what)),
        }
    }

    fn name(&mut self) -> Result<Token<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail(JsonErrorKind::Expected("a name in quotes"));
        }
        let name = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fail(JsonErrorKind::Expected("`:`"));
        }
        self.at += 1;
        self.expects = Expects::Value;
        Ok(Token::Name(name))
    }

    fn value(&mut self) -> Result<Token<'a>, JsonError> {
        let scalar = match self.peek() {
            Some(b'{') => return self.begin(Container::Object),
            Some(b'[') => return self.begin(Container::Array),
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            _ if self.at == 0 && self.text.starts_with('\u{feff}') => return self.fail(JsonErrorKind::ByteOrderMark),
            _ => return self.fail(JsonErrorKind::Expected("a value")),
        };
        self.value_ended();
        Ok(Token::Scalar(scalar))
    }

    fn begin(&mut self, container: Container) -> Result<Token<'a>, JsonError> {
        if self.open.len() >= self.depth_max {
            return self.fail(JsonErrorKind::TooDeep { max: self.depth_max });
        }
        self.at += 1;
        self.open.push(container);
        let (expects, token) = match container {
            Container::Object => (Expects::NameOrEnd, Token::BeginObject),
            Container::Array => (Expects::ValueOrEnd, Token::BeginArray),
        };
        self.expects = expects;
        Ok(token)
    }

    fn close(&mut self) -> Token<'a> {
        self.at += 1;
        let token = match self.open.pop() {
            Some(Container::Object) => Token::EndObject,
            _ => Token::EndArray,
        };
        self.value_ended();
        token
    }

    fn value_ended(&mut self) {
        self.expects = if self.open.is_empty() { Expects::Nothing } else { Expects::SeparatorOrEnd };
    }

    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += self.text.as_bytes().get(self.at..).map_or(0, plain_bytes);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.since(start));
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fail(JsonErrorKind::ControlCharacter),
                None => return self.fail(JsonErrorKind::Truncated),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let unpaired = JsonError { kind: JsonErrorKind::UnpairedSurrogate, at: start };
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.code_unit()? {
                0xd800..=0xdbff => {
                    let follows = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                    self.at += 1;
                    match follows.then(|| self.code_unit()).transpose()? {
                        Some(0xdc00..=0xdfff) => Ok(()),
                        _ => Err(unpaired),
                    }
                }
                0xdc00..=0xdfff => Err(unpaired),
                _ => Ok(()),
            },
            Some(_) => self.fail(JsonErrorKind::Escape),
            None => self.fail(JsonErrorKind::Truncated),
        }
    }

    /// The four digits after a `u`.
    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let digits = self.text.get(self.at + 1..self.at + 5);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 5;
                Ok(unit)
            }
            None => self.fail(JsonErrorKind::Escape),
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.skip_one_of(b"-");
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.skip_digits();
        let mut is_right = whole == 1 || whole > 1 && !leading_zero;
        if self.skip_one_of(b".") {
            is_right &= self.skip_digits() > 0;
        }
        if self.skip_one_of(b"eE") {
            self.skip_one_of(b"+-");
            is_right &= self.skip_digits() > 0;
        }
        if is_right { Ok(self.since(start)) } else { self.fail(JsonErrorKind::Number) }
    }

    fn literal(&mut self, literal: &'static str) -> Result<&'a str, JsonError> {
        let start = self.at;
        if !self.text.as_bytes().get(start..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            return self.fail(JsonErrorKind::Expected("a value"));
        }
        self.at += literal.len();
        Ok(self.since(start))
    }

    fn skip_one_of(&mut self, bytes: &[u8]) -> bool {
        let is_there = self.peek().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn fail<T>(&self, kind: JsonErrorKind) -> Result<T, JsonError> {
        let kind =
            if self.at >= self.text.len() && kind != JsonErrorKind::Number { JsonErrorKind::Truncated } else { kind };
        Err(JsonError { kind, at: self.at })
    }
}
