//! Prints answers: as JSON, or as a table that is readable without colour.

mod columns;
mod layout;
pub mod moments;
mod twins;

use std::{borrow::Cow, io::IsTerminal};

use anyhow::Result;
use console::Term;
use weirgate_engine::{Clock, SystemClock};
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, pretty};

use crate::{client::Answer, commands::arguments::Output, output};
pub use columns::Column;
pub use layout::cut;
pub use twins::of_status;

/// Prints `rows` as a table of `columns`, or `answer` as JSON; the last line says how to get the next page, if there is one.
pub fn print(output: Output, answer: &Answer, rows: &str, columns: &[Column]) -> Result<()> {
    let answer = answer.node()?;
    if output == Output::Json {
        return print_json(&answer);
    }
    print_rows(answer.get(rows).map(Node::items).unwrap_or_default(), columns)?;
    print_next(&answer)
}

/// Says how to get the next page of an answer, if there is one.
pub fn print_next(answer: &Node) -> Result<()> {
    print_next_by(answer, "")
}

/// The same, for an answer whose next page another command prints: `command` is it, with a space behind it.
pub fn print_next_by(answer: &Node, command: &str) -> Result<()> {
    match answer.get("next").filter(|next| !next.is_null()) {
        Some(next) => {
            let next = next.as_str().unwrap_or_else(|| next.text().into());
            // What begins with a dash would be an option.
            let separator = if next.starts_with('-') { '=' } else { ' ' };
            output::line(&format!("there are more: {command}--after{separator}{}", quoted(&next)))
        }
        None => Ok(()),
    }
}

/// A word as a shell takes it. A key may have spaces and quotes.
fn quoted(word: &str) -> Cow<'_, str> {
    // None has a NUL, which is all that cannot be quoted.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// Prints a table with its titles.
pub fn print_rows(rows: &[Node], columns: &[Column]) -> Result<()> {
    let titles = std::iter::once(columns.iter().map(Column::title).collect());
    let left_out = print_lines(&titles.chain(cells(rows, columns)).collect::<Vec<_>>(), columns)?;
    if !left_out.is_empty() {
        output::note(&format!("a wider terminal also shows {}", left_out.join(", ")));
    }
    Ok(())
}

/// Prints rows without titles, for lists that grow.
pub fn print_more(rows: &[Node], columns: &[Column]) -> Result<()> {
    print_lines(&cells(rows, columns).collect::<Vec<_>>(), columns).map(drop)
}

fn cells(rows: &[Node], columns: &[Column]) -> impl Iterator<Item = Vec<String>> {
    let now_ms = SystemClock::default().now_ms();
    rows.iter().map(move |row| columns.iter().map(|column| column.cell(row, now_ms)).collect())
}

/// Prints lines. Returns the titles of the columns that had no room.
fn print_lines(rows: &[Vec<String>], columns: &[Column]) -> Result<Vec<String>> {
    let fits: Vec<_> = columns.iter().map(Column::fit).collect();
    let (lines, left_out) = layout::lines(rows, &fits, width());
    lines.iter().try_for_each(|line| output::line(line))?;
    Ok(left_out.into_iter().filter_map(|column| Some(columns.get(column)?.title())).collect())
}

/// The width of the terminal, or `COLUMNS` at one. Pipes and files get whole lines.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let terminal = || Some(usize::from(Term::stdout().size_checked()?.1));
    named.or_else(terminal).filter(|columns| *columns > 0)
}

/// Prints one object: its plain fields as lines, then its nested fields as JSON.
pub fn show(output: Output, answer: &Answer) -> Result<()> {
    let answer = answer.node()?;
    let Some(fields) = answer.members().filter(|_| output == Output::Text) else { return print_json(&answer) };
    let now_ms = SystemClock::default().now_ms();
    // Times are there twice; people get the one that is made for them.
    let is_twin = |name: &str| answer.get(&format!("{name}_ms")).is_some();
    let fields = || fields.iter().filter(|field| !is_twin(&field.name));
    let is_plain = |node: &Node| node.members().is_none() && !node.is_array();
    let name = |name: &str| name.trim_end_matches("_ms").replace('_', " ");
    let width = fields().map(|field| name(&field.name).len()).max().unwrap_or(0);
    for field in fields().filter(|field| is_plain(&field.value)) {
        let moment = field.name.ends_with("_ms").then(|| field.value.as_u64()).flatten();
        let text = match moment {
            Some(at_ms) => moments::moment(at_ms, now_ms),
            None => field.value.as_str().unwrap_or_else(|| field.value.text().into()).into_owned(),
        };
        output::line(&format!("{:width$}  {text}", name(&field.name)))?;
    }
    for field in fields().filter(|field| !is_plain(&field.value)) {
        output::line("")?;
        output::line(&name(&field.name).to_uppercase())?;
        output::json(&pretty(&twins::for_people(&field.value, now_ms), SHOWN_DEPTH_MAX)?)?;
    }
    Ok(())
}

/// A time in Unix milliseconds, for people.
pub fn moment(at_ms: u64) -> String {
    moments::moment(at_ms, SystemClock::default().now_ms())
}

pub fn print_json(node: &Node) -> Result<()> {
    output::json(&pretty(node.text(), SHOWN_DEPTH_MAX)?)
}
