//! The table as Markdown, and its place in a document. Knows rows, no measurement.

use anyhow::{Context, Result};

use super::{
    rows::{Bound, Row, Verdict, count},
    samples::{Setting, Spread},
};

/// The comments around the table in a document.
const BEGIN: &str = "<!-- make bench writes from here -->";
const END: &str = "<!-- to here -->";

/// The setting and the rows.
#[must_use]
pub fn table(setting: &Setting, rows: &[Row]) -> String {
    let Setting { date, command, processors, model, kernel, loads } = setting;
    let loads: Vec<String> = loads.iter().map(f64::to_string).collect();
    let mut text = format!(
        "`{command}`, {date} UTC; {processors} processors ({model}), Linux {kernel}; load average {}.\n\n\
         | what | measured | | compared with | ratio | goal | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        loads.join(" at the beginning, ") + if loads.len() > 1 { " at the end" } else { " at the beginning" }
    );
    for row in rows {
        text += &line(row);
    }
    text
}

fn line(row: &Row) -> String {
    let measured = row.measured.map_or(String::new(), spread);
    let beside = row.beside.map_or(String::new(), |(name, beside)| format!("{name} {}", spread(beside)));
    let ratio = row.ratio.map_or(String::new(), spread);
    format!("| {} | {measured} | {} | {beside} | {ratio} | {} | {} |\n", row.what, row.size, goal(row), verdict(row))
}

fn goal(row: &Row) -> String {
    let (word, bound) = match row.goal.bound {
        Bound::AtMost(most) => ("at most", most),
        Bound::AtLeast(least) => ("at least", least),
    };
    let events = row.goal.events.map_or(String::new(), |(wanted, _)| format!(" at {}", count(wanted)));
    format!("{word} {bound}{}{events}", row.goal.unit)
}

fn verdict(row: &Row) -> String {
    match row.verdict() {
        Verdict::Met => "met".into(),
        Verdict::MetAt(events) => format!("met at {}, not measured at the goal's size", count(events)),
        Verdict::Missed => "**missed**".into(),
        Verdict::NotMeasured(why) => why.into(),
    }
}

/// The median, and the outermost values if there are several.
fn spread(of: Spread) -> String {
    let Spread { median, least, most, count } = of;
    if count > 1 { format!("{} ({} to {})", number(median), number(least), number(most)) } else { number(median) }
}

/// Three digits or more.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and not negative")]
        let whole = count(size.round() as usize);
        format!("{}{whole}", if value < 0.0 { "-" } else { "" })
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// The document with this table instead of the one between the two comments.
///
/// # Errors
/// The document has not both comments, one after the other.
pub fn replaced(document: &str, table: &str) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).with_context(|| format!("the document has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the document has no {END} after {BEGIN}"))?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{rows, samples::Samples};

    fn sample() -> (Setting, Vec<Row>) {
        let setting = Setting {
            date: "1 May 2026, 10:00".into(),
            command: "make bench".into(),
            processors: 2,
            model: "a processor".into(),
            kernel: "6.1".into(),
            loads: vec![1.5, 3.0],
        };
        let mut samples = Samples::default();
        samples.scaled.marks = vec![crate::scale::Mark {
            events: 1_000_000,
            parts_cpu_us: vec![70.0, 72.5, 1_234.6],
            log_mib: 527.0,
            derived_mib: 40.0,
            resident_mib: 193.0,
            ..Default::default()
        }];
        (setting, rows::of(&samples))
    }

    #[test]
    fn a_row_says_what_was_measured_and_whether_its_goal_is_met() {
        let (setting, rows) = sample();
        let text = table(&setting, &rows);
        assert!(text.starts_with("`make bench`, 1 May 2026, 10:00 UTC; 2 processors (a processor), Linux 6.1; load "));
        assert!(text.contains("load average 1.5 at the beginning, 3 at the end.\n"), "{text}");
        for line in [
            "| server CPU us an event, 1,000,000 events in the log | 72.5 (70.0 to 1,235) | 25,000 events, 3 runs | \
             first row 72.5 (70.0 to 1,235) | 1.00 | at most 1.1 at 10,000,000 | \
             met at 1,000,000, not measured at the goal's size |",
            "| views, index and history on disk, MiB | 40.0 | 1,000,000 events | log 527 | 0.076 | at most 0.2 | met |",
            "| resident under load, MiB | 193 | 1,000,000 events |  |  | at most 150 MiB at 10,000,000 | **missed** |",
            "| server CPU us an event, open-200 |  |  |  |  | at most 0.5 | not measured |",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn a_table_replaces_the_one_between_the_comments() {
        let document = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let new = replaced(&document, "new\n").expect("both comments");
        assert_eq!(new, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"));
        assert_eq!(replaced(&new, "new\n").expect("both comments"), new);
        assert!(replaced(&format!("{END}{BEGIN}"), "").is_err() && replaced("", "").is_err());
    }

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.0, 0.0712, 0.5, 9.25, 12.0, 123.4, 12_345.6, -250.0].map(number);
        assert_eq!(texts, ["0.00", "0.071", "0.50", "9.25", "12.0", "123", "12,346", "-250"]);
    }
}
