//! Converts TOML manifests to JSON: numbers keep their digits.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::ManifestError;
use crate::json::quoted;

/// # Errors
/// The text is not TOML, or has a value that JSON cannot express.
pub(super) fn to_json(text: &str) -> Result<String, ManifestError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        ManifestError::Malformed(format!("line {line}: {}", error.message()))
    })?;
    let mut json = String::with_capacity(text.len());
    write_table(&mut json, table.get_ref())?;
    Ok(json)
}

fn write_table(json: &mut String, table: &DeTable) -> Result<(), ManifestError> {
    json.push('{');
    for (index, (name, value)) in table.iter().enumerate() {
        json.push_str(if index == 0 { "" } else { "," });
        json.push_str(&quoted(name.get_ref()));
        json.push(':');
        write_value(json, value)?;
    }
    json.push('}');
    Ok(())
}

fn write_value(json: &mut String, value: &Spanned<DeValue>) -> Result<(), ManifestError> {
    match value.get_ref() {
        DeValue::String(text) => json.push_str(&quoted(text)),
        DeValue::Integer(integer) if integer.radix() == 10 => json.push_str(decimal(integer.as_str())),
        DeValue::Integer(integer) => {
            let value = u128::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| no_json(integer))?;
            json.push_str(&value.to_string());
        }
        DeValue::Float(float) if float.as_str().contains(['i', 'n']) => return Err(no_json(float)),
        DeValue::Float(float) => json.push_str(decimal(float.as_str())),
        DeValue::Boolean(boolean) => json.push_str(if *boolean { "true" } else { "false" }),
        DeValue::Datetime(datetime) => json.push_str(&quoted(&datetime.to_string())),
        DeValue::Array(items) => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                json.push_str(if index == 0 { "" } else { "," });
                write_value(json, item)?;
            }
            json.push(']');
        }
        DeValue::Table(table) => write_table(json, table)?,
    }
    Ok(())
}

/// A TOML number in JSON notation: without a sign that JSON does not allow.
fn decimal(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

fn no_json(number: &impl ToString) -> ManifestError {
    ManifestError::Malformed(format!("the number {} cannot be written as JSON", number.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let toml = "a = 1_000\nb = +1.10\nc = 1e400\nd = -0.0\ne = 12345678901234567890123\nf = 0xff\ng = 1e-400\n";
        let json = r#"{"a":1000,"b":1.10,"c":1e400,"d":-0.0,"e":12345678901234567890123,"f":255,"g":1e-400}"#;
        assert_eq!(to_json(toml).expect("TOML"), json);
    }

    #[test]
    fn every_toml_value_becomes_json_or_is_refused() {
        let toml = "t = \"a\\\"b\"\nd = 2024-02-29\nl = [true, {x = []}]\n[deep.er]\nb = false\n";
        let json = r#"{"d":"2024-02-29","deep":{"er":{"b":false}},"l":[true,{"x":[]}],"t":"a\"b"}"#;
        assert_eq!(to_json(toml).expect("TOML"), json);
        for wrong in ["a = inf", "a = nan", "a = 1\na = 2", "a = ", "= 1"] {
            assert!(to_json(wrong).is_err(), "{wrong}");
        }
    }
}
