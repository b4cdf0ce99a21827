//! A condition on an event's data: a JSON pointer (RFC 6901), and what the value there is compared with. Pure.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use weirgate_types::json::{DEPTH_MAX, Node, check, quoted};

/// Maximum length of a condition, in bytes.
const BYTES_MAX: usize = 1_024;

/// For instance `/total_cents >= 1000`, `/customer/country = "DE"` or `/coupon`, which is there whatever it is. A literal that is not JSON is
/// a string. Numbers are compared as double-precision ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    text: String,
    pointer: Vec<String>,
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

/// The longer ones first.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::IsNot),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Is),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| {
            let shown: String = text.chars().take(80).collect();
            format!("the condition {shown:?} {problem}; write for instance /total_cents >= 1000")
        };
        if text.len() > BYTES_MAX {
            return Err(wrong("is longer than 1024 bytes"));
        }
        let (pointer, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let Some(names) = pointer.strip_prefix('/') else {
            return Err(wrong("does not begin with a JSON pointer (RFC 6901)"));
        };
        let pointer = names.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
        let comparison = match rest.trim() {
            "" => None,
            rest => {
                let found = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
                let (operator, literal) =
                    found.ok_or_else(|| wrong("has no =, !=, <, <=, > or >= after the pointer"))?;
                let literal = literal.trim();
                if literal.is_empty() {
                    return Err(wrong("compares with nothing"));
                }
                let is_scalar = check(literal.as_bytes(), 1).is_ok() && !literal.starts_with(['{', '[']);
                Some((operator, if is_scalar { literal.to_owned() } else { quoted(literal) }))
            }
        };
        Ok(Self { text: text.to_owned(), pointer, comparison })
    }
}

impl Filter {
    /// Whether it applies to an event's data. Data that is not JSON has no values.
    #[must_use]
    pub fn applies(&self, data: &[u8]) -> bool {
        let Some(node) = check(data, DEPTH_MAX).ok().and_then(|text| Node::parse(text, DEPTH_MAX).ok()) else {
            return false;
        };
        let found = self.pointer.iter().try_fold(&node, |node, name| match node.is_array() {
            true => node.items().get(name.parse::<usize>().ok()?),
            false => node.get(name),
        });
        let Some((operator, literal)) = &self.comparison else { return found.is_some() };
        let order = found.and_then(|node| compare(node, literal));
        match operator {
            Operator::Is => order == Some(Ordering::Equal),
            Operator::IsNot => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// The order of two scalars of one kind. Booleans and null are equal or have none.
fn compare(node: &Node<'_>, literal: &str) -> Option<Ordering> {
    let literal = Node::parse(literal, 1).ok()?;
    match (node.as_str(), literal.as_str()) {
        (Some(text), Some(literal)) => Some(text.cmp(&literal)),
        (None, None) if node.text() == literal.text() => Some(Ordering::Equal),
        (None, None) => node.text().parse::<f64>().ok()?.partial_cmp(&literal.text().parse::<f64>().ok()?),
        _ => None,
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

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str =
        r#"{"total":1000.5,"n":12345678901234567890,"paid":true,"note":"a b","lines":[{"sku":"x"}],"a/b":{"~":null}}"#;

    fn applies(filter: &str) -> bool {
        filter.parse::<Filter>().expect(filter).applies(DATA.as_bytes())
    }

    #[test]
    fn values_are_found_and_compared() {
        for filter in [
            "/total > 1000",
            "/total >= 1000.5",
            "/total <= 1000.5",
            "/total < 1e4",
            "/total = 1000.50",
            "/total != 1000",
            "/n = 12345678901234567890",
            "/paid = true",
            "/paid != false",
            "/note = a b",
            r#"/note = "a b""#,
            "/note > a",
            "/lines/0/sku = x",
            "/lines",
            "/a~1b/~0 = null",
            "/absent != 1",
        ] {
            assert!(applies(filter), "{filter}");
        }
        for filter in [
            "/total > 1000.5",
            "/total = \"1000.5\"",
            "/note = 1",
            "/paid > false",
            "/lines/1/sku = x",
            "/lines/x",
            "/absent",
            "/absent < 1",
            "/lines = x",
        ] {
            assert!(!applies(filter), "{filter}");
        }
        assert!(!"/a".parse::<Filter>().expect("a filter").applies(b"not JSON"));
        assert!(!"/a".parse::<Filter>().expect("a filter").applies(b""));
    }

    #[test]
    fn conditions_that_are_none_are_refused() {
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        for (text, says) in [
            ("total > 1", "does not begin with a JSON pointer"),
            ("", "does not begin with a JSON pointer"),
            ("/total ~ 1", "has no ="),
            ("/total >", "compares with nothing"),
            (long.as_str(), "is longer than 1024 bytes"),
        ] {
            let error = text.parse::<Filter>().expect_err(text);
            assert!(error.contains(says), "{error}");
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
}
