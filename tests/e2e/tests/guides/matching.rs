//! Whether a command printed what a document says: the lines of a text, in their order, or the members of a JSON document. What a
//! document leaves out may be there.

use serde_json::Value;

use crate::blocks::Block;

/// The first difference, in words; `None` if there is none.
pub fn differs(block: &Block, printed: &str) -> Option<String> {
    if block.language == "json" {
        let expected: Value = serde_json::from_str(&block.text).expect("the document's JSON");
        let found: Value = serde_json::from_str(printed).unwrap_or(Value::Null);
        return (!holds(&found, &expected)).then(|| format!("{expected} is not in what was printed: {printed}"));
    }
    let mut lines = printed.lines().map(spaced);
    let expected = block.text.lines().map(spaced).filter(|line| !line.is_empty() && line != "...");
    for expected in expected {
        if !lines.any(|line| line.contains(&expected)) {
            return Some(format!("{expected:?} was not printed, or not in this place: {printed}"));
        }
    }
    None
}

/// The line with single spaces: columns are as wide as their content.
fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| holds(found, expected))
        }
        _ => found == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_leaves_out_may_be_there() {
        let block =
            |language: &str, text: &str| Block { language: language.into(), text: text.into(), ..Block::default() };
        for (language, text, printed, is_same) in [
            ("text", "b  c\n...\ne", "a\nb c\nd\ne f\n", true),
            ("text", "e\nb", "b\ne\n", false),
            ("text", "b\nb", "b\n", false),
            ("json", r#"{"a":{"b":1}}"#, r#"{"a":{"b":1,"c":2},"d":3}"#, true),
            ("json", r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#, false),
            ("json", r#"[{"b":1}]"#, r#"[{"b":1},{"b":2}]"#, false),
            ("json", "1", "no JSON", false),
        ] {
            assert_eq!(differs(&block(language, text), printed).is_none(), is_same, "{text} {printed}");
        }
    }
}
