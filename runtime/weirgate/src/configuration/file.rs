//! The configuration file as text: it has to be UTF-8, and settings that are texts keep their spelling. `1.10` is a number
//! to TOML, and would come back as 1.1.

use std::{ops::Range, path::Path};

use anyhow::{Context, Result, anyhow};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::commands::files;

/// The settings that are texts or lists of texts: a table, and a setting, or all of the table's.
const TEXTS: [(&str, Option<&str>); 8] = [
    ("secrets", None),
    ("server", Some("listen")),
    ("server", Some("shop")),
    ("server", Some("hosts")),
    ("server", Some("proxies")),
    ("data", Some("dir")),
    ("live", Some("origins")),
    ("outbound", Some("allow_private")),
];

/// Reads a file, with the values of its text settings as written.
pub fn read(path: &Path) -> Result<String> {
    let file = || path.display();
    let bytes = files::bounded(path).with_context(|| format!("the configuration file {} cannot be read", file()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("the configuration file {} is not UTF-8 at byte {at}; save it as UTF-8", file())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    texts_quoted(text).map_err(|error| anyhow!("the configuration file {}, {error}", file()))
}

/// The same file with quotes around text settings that lack them.
fn texts_quoted(text: &str) -> Result<String, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        format!("line {line}: {}", error.message())
    })?;
    let mut bare = Vec::new();
    for (name, setting) in TEXTS {
        let Some(value) = table.get_ref().get(name) else { continue };
        match (setting, value.get_ref()) {
            (None, _) => find_bare(value, &mut bare),
            (Some(setting), DeValue::Table(table)) => {
                table.get(setting).iter().for_each(|value| find_bare(value, &mut bare));
            }
            (Some(_), _) => {}
        }
    }
    bare.sort_unstable_by_key(|span| std::cmp::Reverse(span.start));
    let mut quoted = text.to_owned();
    for span in bare {
        let written = text.get(span.clone()).unwrap_or_default().trim();
        quoted.replace_range(span, &format!("\"{written}\""));
    }
    Ok(quoted)
}

/// The places of all numbers, dates and booleans in a value.
fn find_bare(value: &Spanned<DeValue>, found: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(_) => {}
        DeValue::Table(table) => table.iter().for_each(|(_, value)| find_bare(value, found)),
        DeValue::Array(items) => items.iter().for_each(|value| find_bare(value, found)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            found.push(value.span());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_as_written_and_numbers_stay_numbers() {
        let file = "[secrets]\na = 1.10\nb = 007.5e1\nc = true\nd = 2026-07-01 10:00:00 # a day\ne = 1_000\nf = \"1.10\"\n\
                    g = { value = 0x10 }\n[server]\nlisten = 8080\nconnections_max = 1_0\n[live]\norigins = [1.10, \"a\"]\n";
        // TOML has no number with a leading zero.
        let error = texts_quoted(file).expect_err("no TOML");
        assert!(error.starts_with("line 3: "), "{error}");
        let quoted = texts_quoted(&file.replace("007.5e1", "7.50e1")).expect("TOML");
        for part in [
            "a = \"1.10\"\n",
            "b = \"7.50e1\"\n",
            "c = \"true\"\n",
            "d = \"2026-07-01 10:00:00\" # a day\n",
            "e = \"1_000\"\n",
            "f = \"1.10\"\n",
            "value = \"0x10\" }",
            "listen = \"8080\"\n",
            "connections_max = 1_0\n",
            "origins = [\"1.10\", \"a\"]",
        ] {
            assert!(quoted.contains(part), "{part} is missing in {quoted}");
        }
    }
}
