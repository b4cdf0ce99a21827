//! Draws cost and memory against the events behind them, as an SVG. Knows only marks.

use std::fmt::Write;

use crate::{figures, scale::Mark};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 250.0;
/// Where the axes cross, from the left and from the bottom of a panel.
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 20.0;
const COLOURS: [&str; 2] = ["#0b6bcb", "#9a9a9a"];

struct Panel<'a> {
    title: &'a str,
    value: fn(&Mark) -> f64,
    top: f64,
}

/// A picture of these marks, and of another build's beside them.
#[must_use]
pub fn of(marks: &[Mark], before: Option<&[Mark]>) -> String {
    let series: Vec<&[Mark]> = std::iter::once(marks).chain(before).collect();
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {0}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{0}" fill="white"/>
"#,
        HEIGHT * 2.0
    );
    let panels = [
        Panel { title: "server CPU, us an event", value: |mark| mark.cpu_us, top: 0.0 },
        Panel { title: "resident memory, MiB", value: |mark| mark.resident_mib, top: HEIGHT },
    ];
    for panel in panels {
        panel.draw(&series, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel<'_> {
    fn draw(&self, series: &[&[Mark]], svg: &mut String) {
        let all = || series.iter().flat_map(|marks| marks.iter());
        let most = all().map(self.value).fold(1.0, f64::max) * 1.1;
        let (first, last) = all().fold((f64::MAX, 1.0), |(first, last): (f64, f64), mark| {
            let events = log10(mark);
            (first.min(events), last.max(events))
        });
        let x = |events: f64| LEFT + (events - first) / (last - first).max(0.1) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| self.top + HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - TOP);
        // Writing to a string does not fail.
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="{}" font-weight="bold">{}</text>"#, self.top + 20.0, self.title);
        for step in 0..=4_u8 {
            let value = most * f64::from(step) / 4.0;
            let at = y(value);
            let _ = writeln!(
                svg,
                r##"<path d="M{LEFT} {at:.1}H{}" stroke="#ddd"/><text x="{}" y="{:.1}" text-anchor="end">{value:.0}</text>"##,
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0
            );
        }
        for mark in series.first().copied().unwrap_or_default() {
            let _ = writeln!(
                svg,
                r#"<text x="{:.1}" y="{}" text-anchor="middle">{}</text>"#,
                x(log10(mark)),
                self.top + HEIGHT - BOTTOM + 18.0,
                short(mark.events)
            );
        }
        for ((marks, colour), name) in series.iter().zip(COLOURS).zip(["this build", "the build before"]) {
            let points: Vec<_> = marks.iter().map(|mark| (x(log10(mark)), y((self.value)(mark)))).collect();
            let line: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let line = line.join(" ");
            let _ = writeln!(svg, r#"<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
            for (x, y) in &points {
                let _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
            }
            if let Some((x, y)) = points.last().filter(|_| series.len() > 1) {
                let y = y - 8.0;
                let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="end" fill="{colour}">{name}</text>"#);
            }
        }
    }
}

fn log10(mark: &Mark) -> f64 {
    figures::float(mark.events.max(1)).log10()
}

fn short(events: usize) -> String {
    if events >= 1_000_000 {
        format!("{} million", figures::rounded(figures::float(events) / 1e6))
    } else {
        format!("{},000", events / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(events: usize, cpu_us: f64) -> Mark {
        Mark {
            events,
            cpu_us,
            parts_cpu_us: Vec::new(),
            events_per_s: 1.0,
            resident_mib: 100.0,
            log_mib: 1.0,
            derived_mib: 1.0,
            written_bytes: 1.0,
        }
    }

    #[test]
    fn both_builds_are_drawn_on_one_scale() {
        let (now, before) = ([mark(100_000, 50.0), mark(1_000_000, 50.0)], [mark(100_000, 50.0), mark(200_000, 100.0)]);
        let svg = of(&now, Some(&before));
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("<circle").count(), 8);
        assert!(svg.contains(">1 million<") && svg.contains(">100,000<") && svg.contains(">the build before<"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_single_mark_is_drawn() {
        let svg = of(&[mark(7, 50.0)], None);
        assert!(svg.contains("<circle") && !svg.contains("NaN"), "{svg}");
    }
}
