//! Prints answers: as JSON, or as a table that is readable without colour.

use anyhow::Result;
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact, pretty};

use crate::{client::Answer, commands::arguments::Output};

/// Prints `rows` as a table of `columns`, or `answer` as JSON; and how to get the next page, if there is one.
pub fn print(output: Output, answer: &Answer, rows: &str, columns: &[&str]) -> Result<()> {
    let answer = answer.node()?;
    if output == Output::Json {
        return print_json(&answer);
    }
    let rows = answer.get(rows).map(Node::items).unwrap_or_default();
    let mut lines = vec![columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| cell(row.get(column))).collect()));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
    if let Some(next) = answer.get("next").and_then(Node::as_str) {
        eprintln!("hint: there may be more: --after {next}");
    }
    Ok(())
}

/// Prints one object: its plain fields as lines, then its nested fields as JSON.
pub fn show(output: Output, answer: &Answer) -> Result<()> {
    let answer = answer.node()?;
    let Some(fields) = answer.members().filter(|_| output == Output::Text) else { return print_json(&answer) };
    let is_plain = |node: &Node| node.members().is_none() && !node.is_array();
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in fields.iter().filter(|field| is_plain(&field.value)) {
        let text = field.value.as_str().unwrap_or_else(|| field.value.text().into());
        println!("{:width$}  {text}", field.name.replace('_', " "));
    }
    for field in fields.iter().filter(|field| !is_plain(&field.value)) {
        println!("\n{}", field.name.replace('_', " ").to_uppercase());
        print_json(&field.value)?;
    }
    Ok(())
}

fn print_json(node: &Node) -> Result<()> {
    println!("{}", pretty(node.text(), SHOWN_DEPTH_MAX)?);
    Ok(())
}

fn cell(node: Option<&Node>) -> String {
    let Some(node) = node.filter(|node| !node.is_null()) else { return "-".into() };
    match node.as_str() {
        Some(text) => text.chars().take(80).collect(),
        None => compact(node.text(), SHOWN_DEPTH_MAX).unwrap_or_default(),
    }
}

/// A query string of the set parameters; empty if there are none.
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
