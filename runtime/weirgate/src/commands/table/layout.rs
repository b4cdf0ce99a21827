//! The layout of a table: pure functions of cells and a width. Widths are columns of a terminal, not bytes or characters: a
//! wide character takes two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: &str = "  ";
/// No column with longer cells becomes narrower than this.
const COLUMN_WIDTH_MIN: usize = 8;
const ELLIPSIS: char = '…';

/// The lines of a table, cut where the terminal ends if it has a width.
pub fn lines(rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let mut widths: Vec<_> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
    if let Some(width) = width {
        narrow(&mut widths, width.saturating_sub(GAP.len() * columns.saturating_sub(1)));
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| padded(&cut(cell, *width), *width)).collect();
        let line = cells.join(GAP).trim_end().to_owned();
        width.map_or(line.clone(), |width| cut(&line, width))
    };
    rows.iter().map(line).collect()
}

/// Takes from the widest column, one by one, until they fit together or none can be narrower.
fn narrow(widths: &mut [usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max_by_key(|width| **width).filter(|width| **width > COLUMN_WIDTH_MIN)
        else {
            return;
        };
        *widest -= 1;
    }
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

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_line_up_and_the_widest_give_way() {
        let table = rows(&[&["ID", "KEY", "MESSAGE"], &["a@1", "日本", &"x".repeat(60)], &["a@2", "k", "short"]]);
        assert_eq!(lines(&table, None)[2], "a@2  k     short");
        let cut = lines(&table, Some(30));
        assert!(cut.iter().all(|line| line.width() <= 30), "{cut:?}");
        assert!(cut[1].starts_with("a@1  日本  xxx") && cut[1].ends_with('…'), "{cut:?}");
        for width in 0..80 {
            assert!(lines(&table, Some(width)).iter().all(|line| line.width() <= width), "{width}");
        }
        assert_eq!(lines(&[], Some(10)), Vec::<String>::new());
    }
}
