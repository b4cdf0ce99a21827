//! The lines that deployments, failures and decisions leave in the server's log. They are written after the record is
//! durable, and bounded: a flood of failures leaves a few lines and their number.

use std::collections::BTreeMap;

use weirgate_types::{
    ApplyBegun, AttemptFailure, BreakerChanged, Commit, DeliveryCommand, DeliveryDecided, DeliveryId, Deployed,
    FailureKind, HandlerName, Mode, ModeChanged, Outcome, Position, Record, Removed, ReplayApproved, ReplayEnd,
    ReplayEnded,
};

use crate::{Audit, command::LastFailure, notices};

/// Lines of one kind and handler in a window; further ones are counted.
const LINES_MAX: u32 = 10;
const WINDOW_MS: u64 = 10_000;
/// Lines of a pass that wait for the commit; more are counted only.
const WAITING_MAX: usize = 4_096;
/// The actor of what the runtime decides.
const RUNTIME: &str = "weirgate";
/// Texts of handlers and operators are cut in the log.
const TEXT_CHARS_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Deployed,
    Removed,
    ModeChanged,
    BreakerChanged,
    Decided,
    Replay,
    DeadLettered,
    EndedByHost,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Deployed => "deployments",
            Self::Removed => "removals",
            Self::ModeChanged => "changes of mode",
            Self::BreakerChanged => "changes of breakers",
            Self::Decided => "decisions",
            Self::Replay => "steps of replays",
            Self::DeadLettered => "dead letters",
            Self::EndedByHost => "attempts that trapped or exceeded a limit",
        }
    }
}

/// A line, with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Deployed { handler: HandlerName, digest: String, actor: String, reason: String },
    Removed { handler: HandlerName, actor: String, reason: String },
    ModeChanged { handler: HandlerName, mode: Mode, actor: String, reason: String },
    BreakerChanged { breaker: String, open: bool, actor: String, reason: String },
    Decided { delivery: DeliveryId, command: &'static str, actor: String, reason: String },
    Replay { handler: HandlerName, replay: Position, step: String, actor: String, reason: String },
    DeadLettered { delivery: DeliveryId, attempt: u32, digest: Option<String>, failure: Failure, by: Option<Audit> },
    EndedByHost { delivery: DeliveryId, attempt: u32, digest: String, failure: Failure },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    class: String,
    kind: String,
    message: String,
}

impl Failure {
    fn of(failure: &AttemptFailure) -> Self {
        Self { class: word(&failure.class), kind: word(&failure.kind), message: cut(&failure.message) }
    }
}

/// Lines of one kind and handler since the window began.
#[derive(Debug, Default)]
struct Window {
    began_ms: u64,
    lines: u32,
    left_out: u64,
}

/// See the module documentation. Keeps one entry per kind and handler.
#[derive(Debug, Default)]
pub struct Operations {
    waiting: Vec<Line>,
    /// The number of lines that found no room to wait.
    unwritten: BTreeMap<(Kind, Option<HandlerName>), u64>,
    windows: BTreeMap<(Kind, Option<HandlerName>), Window>,
}

impl Operations {
    /// A record was staged.
    pub fn note(&mut self, record: &Record) {
        let mut lines = Vec::new();
        lines_of(record, &mut lines);
        for line in lines {
            self.wait(line);
        }
    }

    /// The record of an operator who gives up a delivery was staged: that is a dead letter like any other.
    pub fn note_given_up(&mut self, delivery: DeliveryId, by: Audit, last: Option<&LastFailure>) {
        let failure = notices::given_up(&by.actor, &by.reason, last);
        self.wait(Line::DeadLettered {
            delivery,
            attempt: last.map_or(0, |last| last.attempt),
            digest: last.map(|last| last.digest.to_string()),
            failure: Failure::of(&failure),
            by: Some(Audit { reason: cut(&by.reason), ..by }),
        });
    }

    fn wait(&mut self, line: Line) {
        match self.waiting.len() < WAITING_MAX {
            true => self.waiting.push(line),
            false => *self.unwritten.entry(line.subject()).or_default() += 1,
        }
    }

    /// All noted records are durable: write their lines.
    pub fn write(&mut self, now_ms: u64) {
        for (kind, handler, left_out) in self.ended(now_ms) {
            let handler = handler.as_ref().map(HandlerName::as_str);
            tracing::info!(target: "weirgate::operations", kind = kind.name(), handler, left_out, "lines were left out");
        }
        for line in std::mem::take(&mut self.waiting) {
            if self.admits(&line, now_ms) {
                line.write();
            }
        }
        for (subject, count) in std::mem::take(&mut self.unwritten) {
            self.window(subject, now_ms).left_out += count;
        }
    }

    fn window(&mut self, subject: (Kind, Option<HandlerName>), now_ms: u64) -> &mut Window {
        self.windows.entry(subject).or_insert(Window { began_ms: now_ms, ..Window::default() })
    }

    fn admits(&mut self, line: &Line, now_ms: u64) -> bool {
        let window = self.window(line.subject(), now_ms);
        let admitted = window.lines < LINES_MAX;
        window.lines += u32::from(admitted);
        window.left_out += u64::from(!admitted);
        admitted
    }

    /// Removes the windows that are over, and returns those that left out lines.
    fn ended(&mut self, now_ms: u64) -> Vec<(Kind, Option<HandlerName>, u64)> {
        let is_over = |window: &Window| now_ms.saturating_sub(window.began_ms) >= WINDOW_MS;
        let over = self.windows.iter().filter(|(_, window)| is_over(window) && window.left_out > 0);
        let over = over.map(|((kind, handler), window)| (*kind, handler.clone(), window.left_out)).collect();
        self.windows.retain(|_, window| !is_over(window));
        over
    }
}

fn lines_of(record: &Record, lines: &mut Vec<Line>) {
    match record {
        Record::Deployed(Deployed { handler, digest, actor, reason, .. }) => {
            let (digest, actor, reason) = (digest.to_string(), actor.clone(), cut(reason));
            lines.push(Line::Deployed { handler: handler.clone(), digest, actor, reason });
        }
        Record::Removed(Removed { handler, actor, reason, .. }) => {
            lines.push(Line::Removed { handler: handler.clone(), actor: actor.clone(), reason: cut(reason) });
        }
        Record::ModeChanged(ModeChanged { handler, mode, actor, reason, .. }) => {
            let (actor, reason) = (actor.clone(), cut(reason));
            lines.push(Line::ModeChanged { handler: handler.clone(), mode: *mode, actor, reason });
        }
        Record::BreakerChanged(BreakerChanged { breaker, open_until_ms, actor, reason, .. }) => {
            let (breaker, open) = (breaker.to_string(), open_until_ms.is_some());
            lines.push(Line::BreakerChanged { breaker, open, actor: actor.clone(), reason: cut(reason) });
        }
        // See `note_given_up`.
        Record::DeliveryDecided(DeliveryDecided { command: DeliveryCommand::DeadLetter, .. }) => {}
        Record::DeliveryDecided(DeliveryDecided { delivery, command, actor, reason, .. }) => {
            let (delivery, command) = (delivery.clone(), command.word());
            lines.push(Line::Decided { delivery, command, actor: actor.clone(), reason: cut(reason) });
        }
        Record::ReplayApproved(ReplayApproved { handler, replay, undoes, actor, reason, .. }) => {
            let step = if *undoes { "undo-approved" } else { "approved" }.to_owned();
            let (handler, actor, reason) = (handler.clone(), actor.clone(), cut(reason));
            lines.push(Line::Replay { handler, replay: *replay, step, actor, reason });
        }
        Record::ApplyBegun(ApplyBegun { handler, replay, undoes, actor, reason, .. }) => {
            let step = if *undoes { "undo-begun" } else { "apply-begun" }.to_owned();
            let (handler, actor, reason) = (handler.clone(), actor.clone(), cut(reason));
            lines.push(Line::Replay { handler, replay: *replay, step, actor, reason });
        }
        Record::ReplayEnded(ReplayEnded { handler, replay, end, actor, reason, .. }) => {
            let (handler, actor, reason) = (handler.clone(), actor.clone(), cut(reason));
            let step = match end {
                ReplayEnd::InPart => "ended-in-part".to_owned(),
                end => word(end),
            };
            lines.push(Line::Replay { handler, replay: *replay, step, actor, reason });
        }
        record => lines.extend(record.commits().iter().filter_map(line_of_commit)),
    }
}

fn line_of_commit(commit: &Commit) -> Option<Line> {
    let (is_dead, failure) = match &commit.outcome {
        Outcome::DeadLettered { failure, .. } => (true, failure),
        Outcome::Retry { failure, .. } | Outcome::AwaitingCorrection { failure, .. } => (false, failure),
        Outcome::Completed | Outcome::Withheld => return None,
    };
    let is_by_host = matches!(
        failure.kind,
        FailureKind::Trap
            | FailureKind::Timeout
            | FailureKind::Memory
            | FailureKind::EffectLimit
            | FailureKind::Contract
    );
    if !is_dead && !is_by_host {
        return None;
    }
    let delivery = commit.delivery();
    let (attempt, digest) = (commit.attempt, commit.digest.to_string());
    let failure = Failure::of(failure);
    Some(match is_dead {
        true => Line::DeadLettered { delivery, attempt, digest: Some(digest), failure, by: None },
        false => Line::EndedByHost { delivery, attempt, digest, failure },
    })
}

/// The word of a class or kind, as in every interface.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Line {
    fn subject(&self) -> (Kind, Option<HandlerName>) {
        match self {
            Self::Deployed { handler, .. } => (Kind::Deployed, Some(handler.clone())),
            Self::Removed { handler, .. } => (Kind::Removed, Some(handler.clone())),
            Self::ModeChanged { handler, .. } => (Kind::ModeChanged, Some(handler.clone())),
            Self::BreakerChanged { .. } => (Kind::BreakerChanged, None),
            Self::Decided { delivery, .. } => (Kind::Decided, Some(delivery.handler.clone())),
            Self::Replay { handler, .. } => (Kind::Replay, Some(handler.clone())),
            Self::DeadLettered { delivery, .. } => (Kind::DeadLettered, Some(delivery.handler.clone())),
            Self::EndedByHost { delivery, .. } => (Kind::EndedByHost, Some(delivery.handler.clone())),
        }
    }

    /// Texts are written with escapes, so that none can forge a line.
    fn write(&self) {
        match self {
            Self::Deployed { handler, digest, actor, reason } => {
                tracing::info!(target: "weirgate::operations", %handler, digest, ?actor, ?reason, "a handler was deployed");
            }
            Self::Removed { handler, actor, reason } => {
                tracing::info!(target: "weirgate::operations", %handler, ?actor, ?reason, "a handler was removed");
            }
            Self::ModeChanged { handler, mode, actor, reason } => {
                let is_automatic = *mode == Mode::Paused && actor == RUNTIME;
                let mode = word(mode);
                if is_automatic {
                    tracing::warn!(target: "weirgate::operations", %handler, ?reason, "the handler is paused");
                    return;
                }
                tracing::info!(target: "weirgate::operations", %handler, mode, ?actor, ?reason, "a handler's mode changed");
            }
            Self::BreakerChanged { breaker, open, actor, reason } => {
                tracing::info!(target: "weirgate::operations", breaker, open, ?actor, ?reason, "a breaker changed");
            }
            Self::Decided { delivery, command, actor, reason } => {
                tracing::info!(target: "weirgate::operations", %delivery, command, ?actor, ?reason, "a delivery was decided");
            }
            Self::Replay { handler, replay, step, actor, reason } => {
                tracing::info!(target: "weirgate::operations", %handler, %replay, step, ?actor, ?reason, "a replay was decided");
            }
            Self::DeadLettered { delivery, attempt, digest, failure: Failure { class, kind, message }, by } => {
                let (actor, reason) = (by.as_ref().map(|by| &*by.actor), by.as_ref().map(|by| &*by.reason));
                tracing::warn!(
                    target: "weirgate::operations",
                    %delivery, attempt, digest, class, kind, failure = ?message, actor, reason, "a delivery is a dead letter"
                );
            }
            Self::EndedByHost { delivery, attempt, digest, failure: Failure { class, kind, message } } => {
                tracing::warn!(
                    target: "weirgate::operations",
                    %delivery, attempt, digest, class, kind, failure = ?message, "an attempt trapped or exceeded a limit"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::{Carried, Digest, Effects};

    use super::*;

    fn dead(kind: FailureKind, outcome: fn(AttemptFailure) -> Outcome) -> Record {
        let failure = AttemptFailure::found(kind, "x".repeat(1_000));
        Record::Committed(Commit {
            handler: "payment".parse().expect("a name"),
            event: Position(7),
            key: "order/o-1".into(),
            attempt: 3,
            version: Position(1),
            digest: Digest([7; 32]),
            at_ms: 0,
            outcome: outcome(failure),
            depth: 0,
            effects: Effects::default(),
            log: Vec::new(),
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
            state_version: 1,
            migrated_from: None,
        })
    }

    fn dead_lettered(failure: AttemptFailure) -> Outcome {
        Outcome::DeadLettered { held: false, carried: Carried::default(), state: Vec::new(), failure }
    }

    fn waiting(failure: AttemptFailure) -> Outcome {
        Outcome::AwaitingCorrection { previous: None, failure }
    }

    #[test]
    fn dead_letters_and_traps_have_a_line_and_ordinary_failures_none() {
        for (record, kind) in [
            (dead(FailureKind::Handler, dead_lettered), Some(Kind::DeadLettered)),
            (dead(FailureKind::Trap, dead_lettered), Some(Kind::DeadLettered)),
            (dead(FailureKind::Trap, waiting), Some(Kind::EndedByHost)),
            (dead(FailureKind::Timeout, waiting), Some(Kind::EndedByHost)),
            (dead(FailureKind::Handler, waiting), None),
            (dead(FailureKind::CircuitOpen, waiting), None),
        ] {
            let mut lines = Vec::new();
            lines_of(&record, &mut lines);
            assert_eq!(lines.first().map(|line| line.subject().0), kind, "{record:?}");
            if let Some(Line::DeadLettered { failure, .. } | Line::EndedByHost { failure, .. }) = lines.first() {
                assert_eq!(failure.message.chars().count(), TEXT_CHARS_MAX + 1);
            }
        }
    }

    #[test]
    fn what_an_operator_gives_up_is_a_dead_letter_with_its_evidence() {
        let delivery: DeliveryId = "payment@7".parse().expect("an id");
        let by = Audit { actor: "ada".into(), reason: "hopeless".into() };
        let failure = AttemptFailure::found(FailureKind::Trap, String::from("no"));
        let last = LastFailure { attempt: 3, digest: Digest([7; 32]), failure, log: Vec::new() };
        let mut operations = Operations::default();
        operations.note_given_up(delivery.clone(), by.clone(), Some(&last));
        operations.note_given_up(delivery, by, None);
        let [Line::DeadLettered { attempt: 3, digest: Some(_), failure, by: Some(by), .. }, never_tried] =
            operations.waiting.as_slice()
        else {
            panic!("{operations:?}");
        };
        assert_eq!((failure.kind.as_str(), by.actor.as_str()), ("trap", "ada"));
        assert!(failure.message.contains("hopeless") && failure.message.contains("no"), "{failure:?}");
        assert!(matches!(never_tried, Line::DeadLettered { attempt: 0, digest: None, .. }), "{never_tried:?}");
    }

    #[test]
    fn lines_without_room_in_a_pass_are_counted() {
        let mut operations = Operations::default();
        for _ in 0..WAITING_MAX + 7 {
            operations.note(&dead(FailureKind::Trap, dead_lettered));
        }
        assert_eq!(operations.waiting.len(), WAITING_MAX);
        operations.write(0);
        let left_out = u64::try_from(WAITING_MAX + 7).expect("small") - u64::from(LINES_MAX);
        assert_eq!(operations.ended(WINDOW_MS).first().map(|(_, _, count)| *count), Some(left_out));
        assert!(operations.unwritten.is_empty());
    }

    #[test]
    fn a_flood_leaves_few_lines_and_their_number() {
        let mut operations = Operations::default();
        let mut lines = Vec::new();
        lines_of(&dead(FailureKind::Trap, dead_lettered), &mut lines);
        let admitted = (0..1_000).filter(|at| operations.admits(&lines[0], *at)).count();
        assert_eq!((admitted, operations.ended(WINDOW_MS - 1).len()), (LINES_MAX as usize, 0));
        let ended = operations.ended(WINDOW_MS);
        assert_eq!(ended, [(Kind::DeadLettered, Some("payment".parse().expect("a name")), 990)]);
        assert!(operations.admits(&lines[0], WINDOW_MS), "the next window begins");
        assert!(operations.windows.len() == 1 && operations.ended(3 * WINDOW_MS).is_empty());
    }
}
