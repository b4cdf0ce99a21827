//! The server's log, read as it is written. An unexpected line of level WARN or ERROR fails the test.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Number of log lines shown for a failed test.
const SHOWN_LINES_MAX: usize = 40;

#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<String>,
    expected: Vec<String>,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines that contain `text` may be warnings or errors.
    pub fn expect(&self, text: &str) {
        self.lock().expected.push(text.to_owned());
    }

    /// Reads everything that `source` writes, on a thread that ends with it.
    pub fn follow(&self, source: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                lines.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        })
    }

    pub fn count(&self) -> usize {
        self.lock().lines.len()
    }

    /// The lines from number `from` on.
    pub fn since(&self, from: usize) -> Vec<String> {
        self.lock().lines.get(from..).unwrap_or_default().to_vec()
    }

    /// Unexpected warnings and errors.
    pub fn unexpected(&self) -> Vec<String> {
        let inner = self.lock();
        let bad = inner.lines.iter().filter(|line| is_bad(line));
        bad.filter(|line| !inner.expected.iter().any(|text| line.contains(text))).cloned().collect()
    }

    /// The last lines, for diagnosing a failure.
    pub fn tail(&self) -> String {
        let inner = self.lock();
        let from = inner.lines.len().saturating_sub(SHOWN_LINES_MAX);
        inner.lines.get(from..).unwrap_or_default().join("\n")
    }
}

/// Tests retry in milliseconds, so that some deliveries fail often while later events wait behind them.
const OF_QUICK_RETRIES: &str = "a delivery keeps failing while later events of its key wait behind it";

fn is_bad(line: &str) -> bool {
    if line.contains(OF_QUICK_RETRIES) {
        return false;
    }
    let mut words = line.split_whitespace().skip(1);
    let (level, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // Failures of handlers are what many tests are about.
    let is_operation = level == "WARN" && target == "weirgate::operations:";
    matches!(level, "WARN" | "ERROR") && !is_operation || line.starts_with("error:") || line.contains("panicked at")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_errors_and_panics_are_noticed() {
        let lines = Lines::default();
        let text = "2026-01-01T00:00:00Z  INFO weirgate: serving\n2026-01-01T00:00:00Z  WARN x: odd\nerror: no\n\
                    thread 'a' panicked at b.rs\n2026-01-01T00:00:00Z  INFO x: no WARN here\n\
                    2026-01-01T00:00:00Z  WARN weirgate::operations: a delivery is a dead letter\n";
        lines.follow(text.as_bytes()).join().expect("the reader ends");
        assert_eq!((lines.count(), lines.unexpected().len()), (6, 3));
        lines.expect("odd");
        assert_eq!(lines.unexpected().len(), 2);
    }
}
