//! The rows of the table: which samples each is made of, and its goal. Knows no document.

use super::samples::{Samples, Spread};
use crate::{
    compare::Turns,
    report::Report,
    scale::{Mark, PART, Removed},
};

/// The number of events in the log that the goals of a grown log are for.
const FULL: usize = 10_000_000;

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    /// How much was measured.
    pub size: String,
    pub measured: Option<Spread>,
    /// What it is compared with, by name.
    pub beside: Option<(&'static str, Spread)>,
    pub ratio: Option<Spread>,
    pub goal: Goal,
    /// Why there is nothing to judge, if there is not.
    pub missing: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    pub bound: Bound,
    pub of: Judged,
    /// Number of events that it is for, and of those that were measured.
    pub events: Option<(usize, usize)>,
    pub unit: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Which figure of a row its goal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    Measured,
    Ratio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Met,
    /// Within the bound, with fewer events than the goal is for.
    MetAt(usize),
    Missed,
    NotMeasured(&'static str),
}

impl Row {
    /// By the median; a bound that fewer events already exceed is missed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let judged = match self.goal.of {
            Judged::Measured => self.measured,
            Judged::Ratio => self.ratio,
        };
        let Some(Spread { median, .. }) = judged else { return Verdict::NotMeasured(self.missing) };
        let within = match self.goal.bound {
            Bound::AtMost(most) => median <= most,
            Bound::AtLeast(least) => median >= least,
        };
        match self.goal.events {
            _ if !within => Verdict::Missed,
            Some((wanted, measured)) if measured < wanted => Verdict::MetAt(measured),
            _ => Verdict::Met,
        }
    }
}

impl Goal {
    const fn at_most(most: f64, of: Judged) -> Self {
        Self { bound: Bound::AtMost(most), of, events: None, unit: "" }
    }

    const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// It is for a full log; this many events were behind it.
    const fn full(self, measured: usize) -> Self {
        Self { events: Some((FULL, measured)), ..self }
    }
}

/// All rows: one that was not measured says so.
#[must_use]
pub fn of(samples: &Samples) -> Vec<Row> {
    let mut rows = growth(&samples.scaled.marks);
    for load in ["closed-64", "closed-256", "batch-256", "open-200"] {
        rows.push(order(load, samples.orders.iter().find(|turns| turns.load == load)));
    }
    rows.extend(peer(&samples.orders));
    rows.extend(opening(samples));
    rows.extend(pushing(samples));
    rows.push(call(samples));
    rows
}

/// The cost of an event at each mark, over that at the first.
fn growth(marks: &[Mark]) -> Vec<Row> {
    let parts = |mark: &Mark| Spread::of(mark.parts_cpu_us.iter().copied());
    let first = marks.first().and_then(parts);
    let row = |mark: &Mark| {
        let (measured, last) = (parts(mark), marks.last().map_or(0, |mark| mark.events));
        let is_last = mark.events == last;
        let goal = Goal::at_most(1.1, Judged::Ratio);
        Row {
            what: format!("server CPU us an event, {} events in the log", count(mark.events)),
            size: runs_of(PART, "events", mark.parts_cpu_us.len()),
            measured,
            beside: first.map(|first| ("first row", first)),
            ratio: first.zip(measured).and_then(|(first, now)| Spread::of([now.median / first.median])),
            // Only the last row speaks for a full log.
            goal: if is_last { goal.full(mark.events) } else { goal },
            missing: "not measured",
        }
    };
    if marks.is_empty() { vec![row(&Mark::default())] } else { marks.iter().map(row).collect() }
}

/// CPU of an event, now and in the build before.
fn order(load: &str, turns: Option<&Turns>) -> Row {
    let (own, before) = turns.map_or((&[][..], &[][..]), |turns| (&turns.own, &turns.baseline));
    Row {
        what: format!("server CPU us an event, {load}"),
        size: runs(own),
        measured: spread(own, cpu),
        beside: spread(before, cpu).map(|before| ("baseline", before)),
        ratio: ratios(own, before, cpu),
        goal: Goal::at_most(0.5, Judged::Ratio),
        missing: if own.is_empty() { "not measured" } else { "no baseline given" },
    }
}

/// Against the peer: the cost of an event, and, where the load does not fix it, the rate.
fn peer(orders: &[Turns]) -> Vec<Row> {
    let row = |load: &str, what: &str, figure: fn(&Report) -> f64, bound: Bound| {
        let turns = orders.iter().find(|turns| turns.load == load);
        let (own, peer) = turns.map_or((&[][..], &[][..]), |turns| (&turns.own, &turns.peer));
        Row {
            what: format!("{what}, {load}, beside Restate"),
            size: runs(peer),
            measured: spread(own, figure),
            beside: spread(peer, figure).map(|peer| ("Restate", peer)),
            ratio: ratios(own, peer, figure),
            goal: Goal { bound, ..Goal::at_most(0.0, Judged::Ratio) },
            missing: if own.is_empty() { "not measured" } else { "no peer given" },
        }
    };
    let cost = ["closed-64", "closed-256", "open-200"];
    let cost = cost.map(|load| row(load, "server CPU us an event", cpu, Bound::AtMost(0.07)));
    let rate = ["closed-64", "closed-256"];
    let rate = rate.map(|load| row(load, "events/s", |report| report.events_per_s, Bound::AtLeast(10.0)));
    cost.into_iter().chain(rate).collect()
}

/// What a log of that size takes to open, on disk and in memory.
fn opening(samples: &Samples) -> Vec<Row> {
    let (openings, last) = (&samples.scaled.openings, samples.scaled.marks.last());
    let events = last.map_or(0, |mark| mark.events);
    let ready = |removed: Removed| {
        Spread::of(openings.iter().filter(|opening| opening.removed == removed).map(|opening| opening.ready_s))
    };
    let row = |what: &str, size: String, measured: Option<Spread>, goal: Goal| Row {
        what: what.into(),
        size,
        measured,
        beside: None,
        ratio: None,
        goal,
        missing: "not measured",
    };
    let behind = || format!("{} events", count(events));
    let seconds = |most: f64| Goal::at_most(most, Judged::Measured).unit(" s").full(events);
    let disk = last.map(|mark| (mark.derived_mib, mark.log_mib));
    vec![
        row("opening after kill -9, s", behind(), ready(Removed::Nothing), seconds(1.0)),
        row("opening without views, s", behind(), ready(Removed::Views), seconds(20.0)),
        Row {
            beside: disk.and_then(|(_, log)| Some(("log", Spread::of([log])?))),
            ratio: disk.and_then(|(derived, log)| Spread::of([derived / log])),
            ..row(
                "views, index and history on disk, MiB",
                behind(),
                disk.and_then(|(derived, _)| Spread::of([derived])),
                Goal::at_most(0.2, Judged::Ratio),
            )
        },
        row(
            "resident under load, MiB",
            behind(),
            last.and_then(|mark| Spread::of([mark.resident_mib])),
            Goal::at_most(150.0, Judged::Measured).unit(" MiB").full(events),
        ),
    ]
}

/// The cost of messages and of idle connections.
fn pushing(samples: &Samples) -> Vec<Row> {
    let pushed = &samples.pushed;
    let (all, keyed, idle) = (&pushed.to_all, &pushed.keyed, &pushed.idle);
    let more = keyed.iter().map(|run| run.own.server_cpu_us_per_message - run.on_eight.server_cpu_us_per_message);
    let floor = keyed.iter().map(|run| run.floor.server_cpu_us_per_message);
    let over = more.clone().zip(floor.clone()).map(|(more, floor)| more / floor);
    vec![
        Row {
            what: "push: one subject to 1,000 connections, server CPU us a message".into(),
            size: all.first().map_or(String::new(), |both| runs_of(both.own.messages, "messages", all.len())),
            measured: Spread::of(all.iter().map(|both| both.own.server_cpu_us_per_message)),
            beside: Spread::of(all.iter().map(|both| both.floor.server_cpu_us_per_message)).map(|s| ("floor", s)),
            ratio: Spread::of(all.iter().map(|both| both.ratio(|report| report.server_cpu_us_per_message))),
            goal: Goal::at_most(1.3, Judged::Ratio),
            missing: "not measured",
        },
        Row {
            what: "push: 1,000 subjects on a connection each, us an event more than on eight connections".into(),
            size: keyed.first().map_or(String::new(), |run| runs_of(run.own.messages, "messages", keyed.len())),
            measured: Spread::of(more),
            beside: Spread::of(floor).map(|floor| ("floor", floor)),
            ratio: Spread::of(over),
            goal: Goal::at_most(1.0, Judged::Ratio),
            missing: "not measured",
        },
        Row {
            what: "idle connection, resident KiB".into(),
            size: idle.first().map_or(String::new(), |both| runs_of(both.own.sockets, "connections", idle.len())),
            measured: Spread::of(idle.iter().map(|both| both.own.resident_kib_per_socket)),
            beside: Spread::of(idle.iter().map(|both| both.floor.resident_kib_per_socket)).map(|s| ("floor", s)),
            ratio: Spread::of(idle.iter().map(|both| both.ratio(|report| report.resident_kib_per_socket))),
            goal: Goal::at_most(6.5, Judged::Measured).unit(" KiB"),
            missing: "not measured",
        },
    ]
}

fn call(samples: &Samples) -> Row {
    let alone = || samples.calls.iter().filter(|calls| calls.threads == 1);
    Row {
        what: "a fresh instance and a call, CPU us".into(),
        size: alone().next().map_or(String::new(), |run| runs_of(run.count, "calls", alone().count())),
        measured: Spread::of(alone().map(|calls| calls.median_us)),
        beside: None,
        ratio: None,
        goal: Goal::at_most(12.0, Judged::Measured).unit(" us"),
        missing: "not measured",
    }
}

fn cpu(report: &Report) -> f64 {
    report.server_cpu_us_per_event
}

fn spread(reports: &[Report], figure: fn(&Report) -> f64) -> Option<Spread> {
    Spread::of(reports.iter().map(figure))
}

/// Of each pair of runs.
fn ratios(own: &[Report], other: &[Report], figure: fn(&Report) -> f64) -> Option<Spread> {
    Spread::of(own.iter().zip(other).map(|(own, other)| figure(own) / figure(other)))
}

fn runs(reports: &[Report]) -> String {
    reports.first().map_or(String::new(), |report| runs_of(report.events, "events", reports.len()))
}

fn runs_of(each: usize, what: &str, times: usize) -> String {
    format!("{} {what}, {times} {}", count(each), if times == 1 { "run" } else { "runs" })
}

/// With commas between thousands.
#[must_use]
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::tests::report, scale::Opening, table::samples::Calls};

    fn row(of: Judged, measured: f64, ratio: f64) -> Row {
        Row {
            what: "x".into(),
            size: String::new(),
            measured: Spread::of([measured]),
            beside: None,
            ratio: Spread::of([ratio]),
            goal: Goal::at_most(1.0, of),
            missing: "not measured",
        }
    }

    #[test]
    fn a_goal_is_met_or_missed_by_the_figure_that_it_is_for() {
        assert_eq!(row(Judged::Measured, 1.0, 2.0).verdict(), Verdict::Met);
        assert_eq!(row(Judged::Ratio, 1.0, 2.0).verdict(), Verdict::Missed);
        let ten = Goal { bound: Bound::AtLeast(10.0), ..Goal::at_most(0.0, Judged::Ratio) };
        assert_eq!(Row { goal: ten, ..row(Judged::Ratio, 0.0, 10.0) }.verdict(), Verdict::Met);
        assert_eq!(Row { goal: ten, ..row(Judged::Ratio, 0.0, 9.9) }.verdict(), Verdict::Missed);
        let unknown = Row { ratio: None, ..row(Judged::Ratio, 1.0, 1.0) };
        assert_eq!(unknown.verdict(), Verdict::NotMeasured("not measured"));
    }

    #[test]
    fn fewer_events_than_the_goals_can_miss_it_but_not_meet_it() {
        let of = |seconds: f64, events: usize| {
            let goal = Goal::at_most(1.0, Judged::Measured).full(events);
            Row { goal, ..row(Judged::Measured, seconds, 0.0) }.verdict()
        };
        assert_eq!(of(0.4, 1_000_000), Verdict::MetAt(1_000_000));
        assert_eq!(of(1.4, 1_000_000), Verdict::Missed);
        assert_eq!(of(0.4, FULL), Verdict::Met);
    }

    #[test]
    fn nothing_measured_is_a_row_for_each_goal_that_says_so() {
        let rows = of(&Samples::default());
        assert_eq!(rows.len(), 18);
        assert!(rows.iter().all(|row| matches!(row.verdict(), Verdict::NotMeasured(_))), "{rows:?}");
    }

    #[test]
    fn orders_are_compared_run_by_run() {
        let of = |us| Report { server_cpu_us_per_event: us, events: 30_000, ..report(1, 1.0) };
        let turns = Turns {
            load: "closed-64".into(),
            own: vec![of(50.0), of(60.0), of(90.0)],
            baseline: vec![of(100.0), of(200.0), of(100.0)],
            peer: Vec::new(),
        };
        let compared = order("closed-64", Some(&turns));
        assert_eq!((compared.size.as_str(), compared.verdict()), ("30,000 events, 3 runs", Verdict::Met));
        assert_eq!(compared.ratio, Spread::of([0.5, 0.3, 0.9]));
        let alone = order("closed-64", Some(&Turns { baseline: Vec::new(), ..turns.clone() }));
        assert_eq!(alone.verdict(), Verdict::NotMeasured("no baseline given"));
        let alone = peer(&[turns]);
        assert_eq!((alone[0].verdict(), alone.len()), (Verdict::NotMeasured("no peer given"), 5));
    }

    #[test]
    fn a_growing_log_is_judged_at_each_mark() {
        let mark = |events, us: f64| Mark {
            events,
            parts_cpu_us: vec![us - 1.0, us, us + 1.0],
            log_mib: 100.0,
            derived_mib: 10.0,
            resident_mib: 90.0,
            ..Mark::default()
        };
        let opening = |removed, ready_s| Opening {
            removed,
            events: 400_000,
            ready_s,
            answers_s: ready_s,
            cpu_s: 1.0,
            resident_mib: 50.0,
        };
        let mut samples = Samples::default();
        samples.scaled.marks = vec![mark(100_000, 50.0), mark(200_000, 60.0), mark(400_000, 54.0)];
        samples.scaled.openings = vec![opening(Removed::Nothing, 0.3), opening(Removed::Views, 30.0)];
        samples.calls = vec![Calls { threads: 1, count: 100, median_us: 13.0 }];
        let rows = of(&samples);
        let verdicts: Vec<_> = rows.iter().map(Row::verdict).collect();
        assert_eq!(verdicts[..3], [Verdict::Met, Verdict::Missed, Verdict::MetAt(400_000)]);
        assert_eq!(verdicts[12..16], [Verdict::MetAt(400_000), Verdict::Missed, Verdict::Met, Verdict::MetAt(400_000)]);
        assert_eq!(verdicts.last(), Some(&Verdict::Missed));
    }
}
