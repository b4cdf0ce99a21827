//! Printing answers: as JSON, or as a table that is readable without colour.

use anyhow::Result;
use serde_json::Value;

use crate::cli::Output;

/// Print `rows` as a table of `columns`, or `answer` as JSON.
pub fn print(output: Output, answer: &Value, rows: &str, columns: &[&str]) -> Result<()> {
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(answer)?);
        return Ok(());
    }
    let rows = answer.get(rows).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut lines = vec![columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| cell(row.get(column))).collect()));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
    Ok(())
}

/// Print one thing: its plain fields as lines, then what has parts of its own, as JSON.
pub fn show(output: Output, answer: &Value) -> Result<()> {
    let Some(fields) = answer.as_object().filter(|_| output == Output::Text) else {
        println!("{}", serde_json::to_string_pretty(answer)?);
        return Ok(());
    };
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in fields.iter().filter(|(_, value)| is_plain(value)) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{:width$}  {text}", name.replace('_', " "));
    }
    for (name, value) in fields.iter().filter(|(_, value)| !is_plain(value)) {
        println!("\n{}\n{}", name.replace('_', " ").to_uppercase(), serde_json::to_string_pretty(value)?);
    }
    Ok(())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.chars().take(80).collect(),
        Some(other) => other.to_string(),
    }
}

/// A query string of the parameters that are set; empty when none is.
pub fn query(parameters: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        empty if empty.is_empty() => empty,
        query => format!("?{query}"),
    }
}
