//! What deserialisers say about a wrong value, for the author of the value: what it is, and what to write. They
//! speak of types and identifiers of the code.

/// The words of a deserialiser for people. An error that is worded already stays as it is.
#[must_use]
pub fn plain(said: &str) -> String {
    let (said, place) = placed(said);
    format!("{}{place}", worded(said))
}

/// The same for `path: error`, the form in which a deserialiser that follows paths names the place.
#[must_use]
pub fn located(said: &str) -> String {
    match said.split_once(": ") {
        Some((path, error)) if is_path(path) => at(path, error),
        _ => plain(said),
    }
}

/// The words for an error at a path, which is `.` for the whole.
#[must_use]
pub fn at(path: &str, said: &str) -> String {
    let told = plain(said);
    // The path of an unknown field ends with the field.
    let field = quoted_first(said).filter(|_| said.starts_with("unknown field "));
    let parent = |field: &str| path.strip_suffix(field).map(|parent| parent.strip_suffix('.').unwrap_or(parent));
    let path = field.and_then(parent).unwrap_or(path);
    match path {
        "" | "." | "?" => told,
        path => format!("`{path}`: {told}"),
    }
}

/// Separates the place that a JSON parser appends.
fn placed(said: &str) -> (&str, String) {
    let found = said.rsplit_once(" at line ").and_then(|(error, place)| {
        let (line, column) = place.split_once(" column ")?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(line) && is_number(column)).then(|| (error, format!(" (line {line}, column {column})")))
    });
    found.unwrap_or((said, String::new()))
}

fn worded(said: &str) -> String {
    if let Some((found, expected)) = said.strip_prefix("invalid type: ").and_then(expectation) {
        return format!("it is {}; write {}", shown(found), wanted(expected));
    }
    if let Some((found, expected)) = said.strip_prefix("invalid value: ").and_then(expectation) {
        return format!("it is {}, which is out of range; write {}", shown(found), wanted(expected));
    }
    if let Some((found, expected)) = said.strip_prefix("invalid length ").and_then(expectation) {
        return format!("it has {found} items; write {}", wanted(expected));
    }
    let name = quoted_first(said).unwrap_or_default();
    let known = said.split_once(", expected ").map(|(_, known)| known.trim_start_matches("one of "));
    match said.split_once(' ').unwrap_or_default() {
        ("missing", rest) if rest.starts_with("field ") => format!("`{name}` is missing"),
        ("duplicate", rest) if rest.starts_with("field ") => format!("`{name}` is there twice"),
        ("unknown", rest) if rest.starts_with("field ") => match known {
            Some(known) => format!("there is no `{name}`; there are {known}"),
            None => format!("there is no `{name}`; nothing is taken here"),
        },
        ("unknown", rest) if rest.starts_with("variant ") => match known {
            Some(known) => format!("there is no {name:?}; write {known}"),
            None => format!("there is no {name:?}"),
        },
        _ => parsed(said),
    }
}

/// The words for texts of the standard library's parsers.
fn parsed(said: &str) -> String {
    let is_one = |texts: &[&str]| texts.contains(&said);
    if is_one(&["invalid digit found in string", "cannot parse integer from empty string"]) {
        return "it is no whole number; write digits only".to_owned();
    }
    if said.starts_with("number too ") {
        return "the number is out of range".to_owned();
    }
    if is_one(&["invalid float literal", "cannot parse float from empty string"]) {
        return "it is no number; write for instance 0.5".to_owned();
    }
    if said == "provided string was not `true` or `false`" {
        return "write true or false".to_owned();
    }
    if said.starts_with("data did not match any variant") {
        return "it is none of the forms that are taken here".to_owned();
    }
    said.to_owned()
}

fn expectation(said: &str) -> Option<(&str, &str)> {
    said.rsplit_once(", expected ")
}

/// Whether a text is the path of a value: names, indices and dots.
fn is_path(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-[]?".contains(&byte))
}

/// The first text between backticks.
fn quoted_first(said: &str) -> Option<&str> {
    said.split('`').nth(1)
}

/// The value that was found, as serde describes it.
fn shown(found: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    match (kind, value) {
        ("integer", value) => format!("the number {}", value.trim_matches('`')),
        ("64-bit" | "128-bit", value) => {
            format!("the number {}", value.trim_start_matches("integer ").trim_matches('`'))
        }
        ("floating", value) => format!("the number {}", value.trim_start_matches("point ").trim_matches('`')),
        ("string", value) => format!("the text {value}"),
        ("boolean", value) => value.trim_matches('`').to_owned(),
        ("null" | "unit", _) => "null".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("map", _) => "an object".to_owned(),
        _ => found.to_owned(),
    }
}

/// What a type takes, as serde or a visitor describes it.
fn wanted(expected: &str) -> String {
    let range = |max: u128| format!("a whole number from 0 to {max}");
    match expected.split(' ').next().unwrap_or_default() {
        "u8" => range(u8::MAX.into()),
        "u16" => range(u16::MAX.into()),
        "u32" => range(u32::MAX.into()),
        "u64" | "usize" | "u128" => range(u64::MAX.into()),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "struct" | "internally" | "adjacently" => "an object".to_owned(),
        "enum" | "variant" => "one of the words that are taken here".to_owned(),
        "tuple" => "a list".to_owned(),
        "field" => "a name".to_owned(),
        _ => match expected {
            "a string" | "a borrowed string" | "str" | "string" => "a text".to_owned(),
            "a sequence" => "a list".to_owned(),
            "a map" => "an object".to_owned(),
            "a boolean" => "true or false".to_owned(),
            "an integer" => "a whole number".to_owned(),
            "a floating point" => "a number".to_owned(),
            expected if expected.starts_with("an unsigned ") => "a whole number, 0 or more".to_owned(),
            "string or map" => "a text or an object".to_owned(),
            expected => expected.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_shown_with_what_to_write() {
        for (said, told) in [
            ("invalid type: integer `7`, expected a string", "it is the number 7; write a text"),
            (
                "invalid type: string \"a, b\", expected u32",
                "it is the text \"a, b\"; write a whole number from 0 to 4294967295",
            ),
            (
                "invalid type: floating point `1.5`, expected usize",
                "it is the number 1.5; write a whole number from 0 to 18446744073709551615",
            ),
            (
                "invalid value: integer `-1`, expected u8",
                "it is the number -1, which is out of range; write a whole number from 0 to 255",
            ),
            (
                "invalid type: null, expected a sequence at line 1 column 9",
                "it is null; write a list (line 1, column 9)",
            ),
            ("invalid type: map, expected a boolean", "it is an object; write true or false"),
            ("invalid type: sequence, expected struct Manifest", "it is a list; write an object"),
            ("unknown field `colour`, expected one of `a`, `b`", "there is no `colour`; there are `a`, `b`"),
            ("unknown field `colour`, there are no fields", "there is no `colour`; nothing is taken here"),
            ("unknown variant `dance`, expected `retry` or `skip`", "there is no \"dance\"; write `retry` or `skip`"),
            ("missing field `name`", "`name` is missing"),
            ("duplicate field `after`", "`after` is there twice"),
            (
                "invalid type: 64-bit integer `-1`, expected an unsigned 64 bit or less integer",
                "it is the number -1; write a whole number, 0 or more",
            ),
            ("invalid digit found in string", "it is no whole number; write digits only"),
            ("number too large to fit in target type", "the number is out of range"),
            ("\"x\" is no time; write for instance 2026", "\"x\" is no time; write for instance 2026"),
        ] {
            assert_eq!(plain(said), told, "{said}");
        }
    }

    #[test]
    fn the_place_is_named() {
        for (said, told) in [
            ("after: invalid digit found in string", "`after`: it is no whole number; write digits only"),
            (
                "retry[0].count: invalid type: map, expected a boolean",
                "`retry[0].count`: it is an object; write true or false",
            ),
            ("limits.colour: unknown field `colour`, expected `a`", "`limits`: there is no `colour`; there are `a`"),
            ("colour: unknown field `colour`, expected `a`", "there is no `colour`; there are `a`"),
            ("missing field `name`", "`name` is missing"),
            (".: missing field `name`", "`name` is missing"),
            ("invalid type: map, expected a boolean", "it is an object; write true or false"),
        ] {
            assert_eq!(located(said), told, "{said}");
        }
    }
}
