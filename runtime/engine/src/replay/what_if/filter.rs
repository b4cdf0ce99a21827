//! A condition on an event's data: a JSON pointer (RFC 6901), and what the value there is compared with. Pure.
//!
//! ```text
//! condition = pointer [ operator literal ]
//! pointer   = an RFC 6901 pointer; as a JSON string if it holds anything but letters, digits and / ~ _ - . $ @
//! operator  = "=" | "!=" | "<" | "<=" | ">" | ">="
//! literal   = a JSON string, a number, true, false or null; a string or a number where an order is asked for
//! ```
//!
//! Spaces between the parts do not matter. Anything else is refused, because it would select other events than were meant.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use weirgate_types::json::{DEPTH_MAX, Node, Token, Tokens, check, compare_numbers, unquoted};

/// Maximum length of a condition, in bytes.
const BYTES_MAX: usize = 1_024;
/// Maximum length of a literal's exponent, in bytes: up to there, numbers are compared exactly.
const EXPONENT_BYTES_MAX: usize = 30;
/// Maximum number of characters of a condition that an error shows.
const SHOWN_CHARS_MAX: usize = 80;

/// The right form, for errors.
const FORMS: &str = r#"write for instance /total_cents >= 1000, /country = "DE", /coupon, or "/first name" = "Ada""#;

/// For instance `/total_cents >= 1000`, `/customer/country = "DE"` or `/coupon`, which is there whatever it is. Numbers are compared
/// exactly, strings by their code points; values of different kinds are not equal and have no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    text: String,
    /// `None`: recorded by an earlier build, and not understood. It applies to nothing.
    condition: Option<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    names: Vec<String>,
    comparison: Option<(Operator, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// The characters of operators.
const SIGNS: [char; 4] = ['=', '!', '<', '>'];

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let condition = Condition::parse(text).map_err(|problem| {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            format!("the condition `{shown}` {problem}; {FORMS}")
        })?;
        Ok(Self { text: text.to_owned(), condition: Some(condition) })
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > BYTES_MAX {
            return Err("is longer than 1024 bytes");
        }
        let (names, rest) = pointer(text.trim())?;
        let rest = rest.trim_start();
        let literal = rest.trim_start_matches(SIGNS);
        let operator = match rest.strip_suffix(literal).unwrap_or_default() {
            "" if rest.is_empty() => return Ok(Self { names, comparison: None }),
            sign => Operator::of(sign)?,
        };
        let literal = literal.trim();
        check_literal(literal, operator)?;
        Ok(Self { names, comparison: Some((operator, literal.to_owned())) })
    }

    fn applies(&self, data: &Node<'_>) -> bool {
        let found = self.names.iter().try_fold(data, |node, name| match node.is_array() {
            true => node.items().get(index(name)?),
            false => node.get(name),
        });
        let Some((operator, literal)) = &self.comparison else { return found.is_some() };
        operator.holds(found.and_then(|node| compare(node, literal)))
    }
}

/// The names of a pointer at the beginning of a text, and what follows it.
fn pointer(text: &str) -> Result<(Vec<String>, &str), &'static str> {
    let (pointer, rest) = if text.starts_with('"') {
        let mut tokens = Tokens::new(text, 0);
        let Ok(Some(Token::Scalar(quoted))) = tokens.read() else { return Err("has a quote that is not closed") };
        (unquoted(quoted), text.get(tokens.at()..).unwrap_or_default())
    } else {
        let is_plain = |c: char| c.is_alphanumeric() || "/~_-.$@".contains(c);
        let (pointer, rest) = text.split_at(text.find(|c| !is_plain(c)).unwrap_or(text.len()));
        (pointer.into(), rest)
    };
    let names = pointer.strip_prefix('/').ok_or("does not begin with a JSON pointer (RFC 6901)")?;
    Ok((names.split('/').map(name).collect::<Result<_, _>>()?, rest))
}

/// A name without its escapes.
fn name(escaped: &str) -> Result<String, &'static str> {
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    match escaped.split('~').skip(1).all(is_escape) {
        true => Ok(escaped.replace("~1", "/").replace("~0", "~")),
        false => Err("has a ~ in its pointer that is neither ~0 (for ~) nor ~1 (for /)"),
    }
}

/// The index that a name is, without zeros at its beginning (RFC 6901).
fn index(name: &str) -> Option<usize> {
    let is_index = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|_| is_index)
}

fn check_literal(literal: &str, operator: Operator) -> Result<(), &'static str> {
    let is_scalar = check(literal.as_bytes(), 0).is_ok();
    let is_number = literal.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let exponent_bytes = literal.split_once(['e', 'E']).map_or(0, |(_, exponent)| exponent.len());
    if literal.is_empty() {
        return Err("compares with nothing");
    }
    if !is_scalar {
        return Err("compares with something that is no text in quotes, number, true, false or null");
    }
    if is_number && exponent_bytes > EXPONENT_BYTES_MAX {
        return Err("compares with a number whose exponent is too long");
    }
    if operator.is_about_order() && !is_number && !literal.starts_with('"') {
        return Err("asks for an order, which only texts and numbers have");
    }
    Ok(())
}

impl Operator {
    fn of(sign: &str) -> Result<Self, &'static str> {
        match sign {
            "=" => Ok(Self::Is),
            "!=" => Ok(Self::IsNot),
            "<" => Ok(Self::Less),
            "<=" => Ok(Self::AtMost),
            ">" => Ok(Self::Greater),
            ">=" => Ok(Self::AtLeast),
            _ => Err("has no =, !=, <, <=, > or >= after the pointer"),
        }
    }

    fn is_about_order(self) -> bool {
        !matches!(self, Self::Is | Self::IsNot)
    }

    /// Whether it holds for the order of a value and the literal; `None`: they have none.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Is => order == Some(Ordering::Equal),
            Self::IsNot => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// The order of two scalars of one kind. Booleans and null are equal or have none.
fn compare(node: &Node<'_>, literal: &str) -> Option<Ordering> {
    let literal = Node::parse(literal, 0).ok()?;
    let is_number = |node: &Node| node.text().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match (node.as_str(), literal.as_str()) {
        (Some(text), Some(literal)) => Some(text.cmp(&literal)),
        (None, None) if is_number(node) && is_number(&literal) => Some(compare_numbers(node.text(), literal.text())),
        (None, None) => (node.text() == literal.text()).then_some(Ordering::Equal),
        _ => None,
    }
}

impl Filter {
    /// Whether all of them apply to an event's data, which is parsed once. Data that is not JSON has no values.
    #[must_use]
    pub fn all_apply(filters: &[Self], data: &[u8]) -> bool {
        if filters.is_empty() {
            return true;
        }
        #[cfg(test)]
        tests::PARSED.set(tests::PARSED.get() + 1);
        let parsed = check(data, DEPTH_MAX).ok().and_then(|text| Node::parse(text, DEPTH_MAX).ok());
        let applies = |filter: &Self, data: &Node<'_>| filter.condition.as_ref().is_some_and(|one| one.applies(data));
        parsed.is_some_and(|data| filters.iter().all(|filter| applies(filter, &data)))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Filter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// As it is recorded: one that this build would refuse does not keep a log from being read.
impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self { condition: Condition::parse(&text).ok(), text })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const DATA: &str = r#"{"total":1000.5,"n":9007199254740993,"paid":true,"note":"a b","lines":[{"sku":"x"}],"a/b":{"~":null},
        "first name":"Ada","a=b":1,"größe":2,"huge":1e400}"#;

    fn applies(filter: &str) -> bool {
        all_apply(&[filter], DATA.as_bytes())
    }

    fn all_apply(filters: &[&str], data: &[u8]) -> bool {
        let filters: Vec<Filter> = filters.iter().map(|filter| filter.parse().expect(filter)).collect();
        Filter::all_apply(&filters, data)
    }

    thread_local! {
        /// How often data was parsed.
        pub static PARSED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn data_is_parsed_once_for_all_conditions() {
        let before = PARSED.get();
        assert!(all_apply(&["/total > 1000"; 1_000], DATA.as_bytes()));
        assert_eq!(PARSED.get() - before, 1);
        assert!(!all_apply(&["/total > 1000", "/absent"], DATA.as_bytes()));
        assert!(all_apply(&[], b"not JSON") && !all_apply(&["/a"], b"not JSON"));
        assert_eq!(PARSED.get() - before, 3, "without a condition it is not parsed");
    }

    #[test]
    fn values_are_found_and_compared() {
        for filter in [
            "/total > 1000",
            "/total>=1000.5",
            "  /total   <=   1000.5  ",
            "/total < 1e4",
            "/total =1000.50",
            "/total != 1000",
            "/n = 9007199254740993",
            "/n > 9007199254740992",
            "/n < 9007199254740993.5",
            "/huge > 1e399",
            "/huge = 10e399",
            "/paid = true",
            "/paid != false",
            r#"/note = "a b""#,
            r#"/note="a\u0020b""#,
            r#"/note > "a""#,
            r#"/lines/0/sku = "x""#,
            "/lines",
            "/größe = 2",
            "/a~1b/~0 = null",
            r#""/first name" = "Ada""#,
            r#""/first name""#,
            r#""/a=b" = 1"#,
            "/absent != 1",
            "/note != 1",
        ] {
            assert!(applies(filter), "{filter}");
        }
        for filter in [
            "/total > 1000.5",
            "/total = \"1000.5\"",
            "/n = 9007199254740992",
            "/n = 9007199254740994",
            "/huge > 1e401",
            "/note = 1",
            "/note = null",
            "/lines/1/sku = \"x\"",
            "/lines/00",
            "/lines/x",
            "/absent",
            "/absent < 1",
            "/lines = \"x\"",
        ] {
            assert!(!applies(filter), "{filter}");
        }
        assert!(!all_apply(&["/a"], b""));
    }

    #[test]
    fn conditions_that_are_none_are_refused() {
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        let exponent = format!("/a = 1e{}", "9".repeat(EXPONENT_BYTES_MAX + 1));
        for (text, says) in [
            ("total > 1", "does not begin with a JSON pointer"),
            ("", "does not begin with a JSON pointer"),
            ("\"\" = 1", "does not begin with a JSON pointer"),
            ("\"/total = 1", "has a quote that is not closed"),
            ("/total ~ 1", "has no ="),
            ("/total == 1", "has no ="),
            ("/total === 1", "has no ="),
            ("/total => 1", "has no ="),
            ("/total =< 1", "has no ="),
            ("/total <> 1", "has no ="),
            ("/total ≥ 1", "has no ="),
            ("/total≥1", "has no ="),
            ("/total:1", "has no ="),
            ("/first name = \"x\"", "has no ="),
            ("/a~2b = 1", "neither ~0"),
            ("/a~", "neither ~0"),
            ("/total >", "compares with nothing"),
            ("/total = \"1", "is no text in quotes"),
            ("/total > NaN", "is no text in quotes"),
            ("/total < Infinity", "is no text in quotes"),
            ("/total = 'x'", "is no text in quotes"),
            ("/note = a b", "is no text in quotes"),
            ("/total = 01", "is no text in quotes"),
            ("/total = [1]", "is no text in quotes"),
            ("/total > 1 and /n = 2", "is no text in quotes"),
            ("/paid > false", "only texts and numbers have"),
            ("/total >= null", "only texts and numbers have"),
            (exponent.as_str(), "whose exponent is too long"),
            (long.as_str(), "is longer than 1024 bytes"),
        ] {
            let error = text.parse::<Filter>().expect_err(text);
            assert!(error.contains(says) && error.contains(FORMS), "{text}: {error}");
        }
        assert!(long[..BYTES_MAX].parse::<Filter>().is_ok());
    }

    #[test]
    fn a_condition_keeps_its_text() {
        let filter: Filter = "/total >= 1000".parse().expect("a filter");
        let json = serde_json::to_string(&filter).expect("JSON");
        assert_eq!(
            (json.as_str(), serde_json::from_str::<Filter>(&json).expect("a filter")),
            ("\"/total >= 1000\"", filter)
        );
    }

    #[test]
    fn a_recorded_condition_that_is_refused_now_applies_to_nothing() {
        let filter: Filter = serde_json::from_str(r#""/total == 1000.5""#).expect("a filter");
        assert_eq!(
            (filter.to_string().as_str(), Filter::all_apply(std::slice::from_ref(&filter), DATA.as_bytes())),
            ("/total == 1000.5", false)
        );
    }
}
