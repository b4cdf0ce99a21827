//! The layout of a table: pure functions of cells and a width. Widths are columns of a terminal, not bytes or characters: a
//! wide character takes two. What names something is never cut: at a narrow terminal other columns are left out, and texts
//! continue on further lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: &str = "  ";
/// No text gets less room than this beside the other columns; with less, it goes below them.
const TEXT_WIDTH_MIN: usize = 24;
/// A text beyond this many lines is cut, except where the terminal is too narrow for any table.
const TEXT_LINES_MAX: usize = 4;
const INDENT: &str = "    ";
const ELLIPSIS: char = '…';

/// What becomes of a column that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It names something: it stays whole.
    Whole,
    /// It is left out, those with the lowest number first.
    Dropped(u8),
    /// It continues on further lines.
    Wrapped,
}

/// The lines of a table, and the indices of the columns that were left out. Without a width, all of it is there.
pub fn lines(rows: &[Vec<String>], fits: &[Fit], width: Option<usize>) -> (Vec<String>, Vec<usize>) {
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let mut columns: Vec<_> = fits
        .iter()
        .enumerate()
        .map(|(index, fit)| Column { index, fit: *fit, width: widest(index).unwrap_or(0) })
        .collect();
    let Some(width) = width else { return (laid_out(rows, &columns), Vec::new()) };
    let left_out = drop_columns(&mut columns, width);
    if needed(&columns) > width {
        return (below(rows, &columns, width), left_out);
    }
    narrow(&mut columns, width);
    (laid_out(rows, &columns), left_out)
}

#[derive(Debug, Clone, Copy)]
struct Column {
    index: usize,
    fit: Fit,
    width: usize,
}

impl Column {
    fn width_min(self) -> usize {
        if self.fit == Fit::Wrapped { self.width.min(TEXT_WIDTH_MIN) } else { self.width }
    }
}

/// The width that a table needs at least.
fn needed(columns: &[Column]) -> usize {
    let widths: usize = columns.iter().map(|column| column.width_min()).sum();
    widths + GAP.len() * columns.len().saturating_sub(1)
}

fn drop_columns(columns: &mut Vec<Column>, width: usize) -> Vec<usize> {
    let mut left_out = Vec::new();
    while needed(columns) > width {
        let dropped = columns.iter().enumerate().filter_map(|(at, column)| match column.fit {
            Fit::Dropped(rank) => Some((rank, at)),
            Fit::Whole | Fit::Wrapped => None,
        });
        let Some((_, at)) = dropped.min() else { break };
        left_out.push(columns.remove(at).index);
    }
    left_out.sort_unstable();
    left_out
}

/// Takes from the widest text, one by one, until the columns fit together.
fn narrow(columns: &mut [Column], width: usize) {
    let room = width.saturating_sub(GAP.len() * columns.len().saturating_sub(1));
    while columns.iter().map(|column| column.width).sum::<usize>() > room {
        let texts = columns.iter_mut().filter(|column| column.fit == Fit::Wrapped && column.width > TEXT_WIDTH_MIN);
        let Some(widest) = texts.max_by_key(|column| column.width) else { return };
        widest.width -= 1;
    }
}

fn laid_out(rows: &[Vec<String>], columns: &[Column]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        let cells: Vec<_> = columns
            .iter()
            .map(|column| {
                let cell = row.get(column.index).map(String::as_str).unwrap_or_default();
                if cell.width() > column.width {
                    wrapped(cell, column.width, TEXT_LINES_MAX)
                } else {
                    vec![cell.to_owned()]
                }
            })
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..height {
            let part = |cell: &Vec<String>| cell.get(at).cloned().unwrap_or_default();
            let parts: Vec<_> =
                cells.iter().zip(columns).map(|(cell, column)| padded(&part(cell), column.width)).collect();
            lines.push(parts.join(GAP).trim_end().to_owned());
        }
    }
    lines
}

/// Texts below the columns that stay whole, for a terminal that has no room beside them.
fn below(rows: &[Vec<String>], columns: &[Column], width: usize) -> Vec<String> {
    let (texts, whole): (Vec<Column>, Vec<Column>) = columns.iter().partition(|column| column.fit == Fit::Wrapped);
    let mut lines = Vec::new();
    for row in rows {
        lines.extend(laid_out(std::slice::from_ref(row), &whole));
        for text in &texts {
            let cell = row.get(text.index).map(String::as_str).unwrap_or_default();
            let room = width.saturating_sub(INDENT.len()).max(2);
            lines.extend(
                wrapped(cell, room, usize::MAX).iter().map(|part| format!("{INDENT}{part}").trim_end().to_owned()),
            );
        }
    }
    lines
}

/// The lines of a text, broken at spaces where there are some.
fn wrapped(text: &str, width: usize, lines_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in text.split_inclusive(' ') {
        if taken > 0 && taken + word.trim_end().width() > width {
            lines.push(String::new());
            taken = 0;
        }
        for character in word.chars() {
            let next = character.width().unwrap_or(0);
            if taken + next > width && character != ' ' {
                lines.push(String::new());
                taken = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(character);
            }
            taken += next;
        }
    }
    let is_cut = lines.len() > lines_max;
    lines.truncate(lines_max);
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    if let Some(last) = lines.last_mut().filter(|_| is_cut) {
        *last = cut(&format!("{last}{ELLIPSIS}"), width);
    }
    lines
}

/// The text, or its beginning and an ellipsis if it is wider than `width`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut taken) = (String::new(), 0);
    for character in text.chars() {
        let next = taken + character.width().unwrap_or(0);
        if next + 1 > width {
            break;
        }
        kept.push(character);
        taken = next;
    }
    if width > 0 {
        kept.push(ELLIPSIS);
    }
    kept
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_what_it_takes_on_the_screen() {
        for (text, width, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("ääää", 3, "ää…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(cut(text, width), shown, "{text} at {width}");
            assert!(cut(text, width).width() <= width);
        }
    }

    #[test]
    fn a_text_continues_at_its_spaces() {
        for (text, width, lines_max, parts) in [
            ("the card was declined", 12, 4, ["the card was", "declined"].as_slice()),
            ("abcdefgh ij", 4, 4, &["abcd", "efgh", "ij"]),
            ("日本語", 4, 4, &["日本", "語"]),
            ("a b c d e", 1, 3, &["a", "b", "…"]),
            ("", 4, 4, &[""]),
        ] {
            assert_eq!(wrapped(text, width, lines_max), parts, "{text}");
        }
    }

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    const FITS: [Fit; 4] = [Fit::Whole, Fit::Dropped(1), Fit::Dropped(0), Fit::Wrapped];

    #[test]
    fn names_stay_whole_and_reasons_stay_readable() {
        let reason = "the bank does not answer: connection refused by 192.0.2.1:443 after 3 tries";
        let table = rows(&[
            &["ID", "STATE", "AGE", "REASON"],
            &["payment-of-orders@123456", "retrying", "1m 1s", reason],
            &["b@2", "日本", "1s", "short"],
        ]);
        let (whole, left_out) = lines(&table, &FITS, None);
        assert_eq!((whole.len(), left_out.len()), (3, 0));
        assert_eq!(whole[2], "b@2                       日本      1s     short");
        for width in 0..200 {
            let (shown, left_out) = lines(&table, &FITS, Some(width));
            assert!(shown.iter().any(|line| line.contains("payment-of-orders@123456")), "{width}: {shown:?}");
            let words: String = shown.join(" ").split_whitespace().collect();
            let is_readable = words.contains("thebankdoesnotanswer:");
            assert!(is_readable, "{width}: {shown:?}");
            if width >= 24 {
                assert!(shown.iter().all(|line| line.width() <= width), "{width}: {shown:?}");
            }
            assert!(left_out.is_empty() || left_out == [2] || left_out == [1, 2], "{width}: {left_out:?}");
            assert!(width < 80 || left_out.is_empty(), "{width}: {left_out:?}");
        }
        let (narrow, left_out) = lines(&table, &FITS, Some(52));
        assert_eq!(left_out, [1, 2]);
        let margin = " ".repeat(26);
        let reason = ["the bank does not answer:", "connection refused by", "192.0.2.1:443 after 3", "tries"];
        for (line, part) in narrow[1..].iter().zip(reason) {
            let name = if part == reason[0] { "payment-of-orders@123456  " } else { &margin };
            assert_eq!(line, &format!("{name}{part}"));
        }
        assert_eq!(lines(&[], &FITS, Some(10)).0, Vec::<String>::new());
    }
}
