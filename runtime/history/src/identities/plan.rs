//! Which parts of the log have no run, and which runs are merged next. Rules without I/O.

use std::ops::Range;

use weirgate_types::Position;

/// The part of the log that a run covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: Position,
    pub last: Position,
}

/// The parts between `floor` and `head` that no run covers, oldest first. All but the last end where a run begins.
pub fn gaps(runs: &[Span], floor: Position, head: Position) -> Vec<Span> {
    let mut next = floor.next();
    let mut gaps = Vec::new();
    for run in runs {
        if run.first > next {
            gaps.push(Span { first: next, last: run.first.before() });
        }
        next = next.max(run.last.next());
    }
    if next <= head {
        gaps.push(Span { first: next, last: head });
    }
    gaps
}

/// The neighbours that are merged next: from the first to the last of `fan` runs of one size, by powers of `fan`, with the smaller ones
/// between them. So a row is rewritten once for each power. `rows` are the runs' numbers of rows, oldest first; a merged run has at
/// most `rows_max`.
pub fn merge(rows: &[u64], fan: usize, unit: u64, rows_max: u64) -> Option<Range<usize>> {
    let size = |rows: u64| (rows / unit.max(1)).checked_ilog(fan.max(2) as u64).map_or(0, |power| power + 1);
    let sizes: Vec<u32> = rows.iter().map(|rows| size(*rows)).collect();
    let largest = sizes.iter().max().copied().unwrap_or(0);
    (0..=largest).find_map(|wanted| {
        let mut found: Vec<usize> = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            if *size > wanted {
                found.clear();
            } else if *size == wanted {
                found.push(at);
            }
            while let Some(first) = found.first().copied().filter(|_| *size == wanted) {
                let total: u64 = rows.get(first..=at).unwrap_or_default().iter().sum();
                if total <= rows_max {
                    break;
                }
                found.remove(0);
            }
            if found.len() >= fan {
                return found.first().map(|first| *first..at + 1);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(u64, u64)]) -> Vec<Span> {
        spans.iter().map(|(first, last)| Span { first: Position(*first), last: Position(*last) }).collect()
    }

    #[test]
    fn what_no_run_covers_is_a_gap() {
        let gaps = |runs: &[(u64, u64)], floor, head| gaps(&spans(runs), Position(floor), Position(head));
        assert_eq!(gaps(&[], 0, 0), []);
        assert_eq!(gaps(&[], 0, 7), spans(&[(1, 7)]));
        assert_eq!(gaps(&[(1, 7)], 0, 7), []);
        assert_eq!(gaps(&[(3, 4), (8, 9)], 0, 12), spans(&[(1, 2), (5, 7), (10, 12)]));
        assert_eq!(gaps(&[(3, 4), (8, 9)], 3, 9), spans(&[(5, 7)]), "what is forgotten is not missing");
        assert_eq!(gaps(&[(3, 4)], 20, 30), spans(&[(21, 30)]));
    }

    #[test]
    fn runs_stay_few_and_rows_are_seldom_rewritten() {
        let (fan, unit, most) = (4, 100, 102_400);
        let (mut runs, mut rewritten, mut largest) = (Vec::<u64>::new(), 0, 0);
        for _ in 0..10_000 {
            runs.push(unit);
            while let Some(range) = merge(&runs, fan, unit, most) {
                assert!(range.len() >= fan && range.end <= runs.len());
                let merged: u64 = runs[range.clone()].iter().sum();
                assert!(merged <= most);
                rewritten += merged;
                runs.splice(range, [merged]);
            }
            largest = largest.max(runs.len());
        }
        assert_eq!(runs.iter().sum::<u64>(), 10_000 * unit);
        assert!(largest <= 10 + 3 * 5 + 8, "{largest} runs");
        assert!(rewritten <= 10_000 * unit * 6, "each row was rewritten {} times", rewritten / (10_000 * unit));
    }

    #[test]
    fn runs_at_the_limit_are_left_alone() {
        assert_eq!(merge(&[100, 100, 100, 100], 4, 1, 400), Some(0..4));
        assert_eq!(merge(&[100, 100, 100, 101], 4, 1, 400), None);
        assert_eq!(merge(&[500, 100, 100, 100, 100], 4, 1, 400), Some(1..5), "an older one is left out");
        assert_eq!(merge(&[500, 3, 7, 2, 6, 5, 9], 4, 5, 400), Some(2..7), "a smaller one between them is not");
        assert_eq!(merge(&[0, 0], 2, 1, 0), Some(0..2), "empty runs are merged too");
        assert_eq!(merge(&[], 2, 1, 10), None);
    }
}
