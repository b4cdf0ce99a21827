//! The lines that deployments, failures and decisions leave in the server's log. They are written after the record is
//! durable, and bounded: a flood of failures leaves a few lines and their number.

use std::collections::BTreeMap;

use weirgate_types::{
    BreakerChanged, Commit, DeliveryDecided, DeliveryId, Deployed, FailureKind, HandlerName, Mode, ModeChanged,
    Outcome, Record,
};

/// Lines of one kind and handler in a window; further ones are counted.
const LINES_MAX: u32 = 10;
const WINDOW_MS: u64 = 10_000;
/// Records of a pass whose lines are waiting; more are counted only.
const WAITING_MAX: usize = 4_096;
/// The actor of what the runtime decides.
const RUNTIME: &str = "weirgate";
/// Texts of handlers and operators are cut in the log.
const TEXT_CHARS_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Deployed,
    ModeChanged,
    BreakerChanged,
    Decided,
    DeadLettered,
    EndedByHost,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Deployed => "deployments",
            Self::ModeChanged => "changes of mode",
            Self::BreakerChanged => "changes of breakers",
            Self::Decided => "decisions",
            Self::DeadLettered => "dead letters",
            Self::EndedByHost => "attempts that trapped or exceeded a limit",
        }
    }
}

/// A line, with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Deployed { handler: HandlerName, digest: String },
    ModeChanged { handler: HandlerName, mode: Mode, actor: String, reason: String },
    BreakerChanged { breaker: String, open: bool, actor: String, reason: String },
    Decided { delivery: DeliveryId, command: &'static str, actor: String, reason: String },
    DeadLettered { delivery: DeliveryId, attempt: u32, digest: String, failure: Failure },
    EndedByHost { delivery: DeliveryId, attempt: u32, digest: String, failure: Failure },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    class: String,
    kind: String,
    message: String,
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
    windows: BTreeMap<(Kind, Option<HandlerName>), Window>,
}

impl Operations {
    /// A record was staged.
    pub fn note(&mut self, record: &Record) {
        if self.waiting.len() < WAITING_MAX {
            lines_of(record, &mut self.waiting);
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
    }

    fn admits(&mut self, line: &Line, now_ms: u64) -> bool {
        let window = self.windows.entry(line.subject()).or_insert(Window { began_ms: now_ms, ..Window::default() });
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
        Record::Deployed(Deployed { handler, digest, .. }) => {
            lines.push(Line::Deployed { handler: handler.clone(), digest: digest.to_string() });
        }
        Record::ModeChanged(ModeChanged { handler, mode, actor, reason, .. }) => {
            let (actor, reason) = (actor.clone(), cut(reason));
            lines.push(Line::ModeChanged { handler: handler.clone(), mode: *mode, actor, reason });
        }
        Record::BreakerChanged(BreakerChanged { breaker, open_until_ms, actor, reason, .. }) => {
            let (breaker, open) = (breaker.to_string(), open_until_ms.is_some());
            lines.push(Line::BreakerChanged { breaker, open, actor: actor.clone(), reason: cut(reason) });
        }
        Record::DeliveryDecided(DeliveryDecided { delivery, command, actor, reason, .. }) => {
            let (delivery, command) = (delivery.clone(), command.word());
            lines.push(Line::Decided { delivery, command, actor: actor.clone(), reason: cut(reason) });
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
    let delivery = DeliveryId { handler: commit.handler.clone(), position: commit.event };
    let (attempt, digest) = (commit.attempt, commit.digest.to_string());
    let (class, kind) = (word(&failure.class), word(&failure.kind));
    let failure = Failure { class, kind, message: cut(&failure.message) };
    Some(match is_dead {
        true => Line::DeadLettered { delivery, attempt, digest, failure },
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
            Self::ModeChanged { handler, .. } => (Kind::ModeChanged, Some(handler.clone())),
            Self::BreakerChanged { .. } => (Kind::BreakerChanged, None),
            Self::Decided { delivery, .. } => (Kind::Decided, Some(delivery.handler.clone())),
            Self::DeadLettered { delivery, .. } => (Kind::DeadLettered, Some(delivery.handler.clone())),
            Self::EndedByHost { delivery, .. } => (Kind::EndedByHost, Some(delivery.handler.clone())),
        }
    }

    /// Texts are written with escapes, so that none can forge a line.
    fn write(&self) {
        match self {
            Self::Deployed { handler, digest } => {
                tracing::info!(target: "weirgate::operations", %handler, digest, "a handler was deployed");
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
            Self::DeadLettered { delivery, attempt, digest, failure: Failure { class, kind, message } } => {
                tracing::warn!(
                    target: "weirgate::operations",
                    %delivery, attempt, digest, class, kind, failure = ?message, "a delivery is a dead letter"
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
    use weirgate_types::{AttemptFailure, Carried, Digest, Effects, Position};

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
            reproducible: true,
            reads: Vec::new(),
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
