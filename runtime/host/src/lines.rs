//! The lines that a guest logs or prints: bounded, and made safe for terminals and log files.
//! Knows no WebAssembly and nothing of where the lines go.

use weirgate_types::{CallLimits, LogLevel, LogLine};

use crate::together::Together;

/// Replaces every character that could control a terminal or forge a line.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// Maximum length of a failure's message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// The log of one call.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<LogLine>,
    dropped: u32,
    lines_max: usize,
    line_bytes_max: usize,
    /// Together with the lines of the call's other deliveries.
    together: Together,
    stdout: Partial,
    stderr: Partial,
    /// The last line printed to stderr, where a panic prints its reason.
    last_words: String,
}

/// A printed line without its line feed yet.
#[derive(Debug, Default)]
struct Partial(Vec<u8>);

/// The target of a guest's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    Stdout,
    Stderr,
}

impl Log {
    pub(crate) fn new(limits: &CallLimits, together: Together) -> Self {
        Self {
            lines: Vec::new(),
            dropped: 0,
            lines_max: usize::try_from(limits.log_lines).unwrap_or(usize::MAX),
            line_bytes_max: usize::try_from(limits.log_line_bytes).unwrap_or(usize::MAX),
            together,
            stdout: Partial::default(),
            stderr: Partial::default(),
            last_words: String::new(),
        }
    }

    pub(crate) fn write(&mut self, level: LogLevel, message: &str) {
        if self.lines.len() >= self.lines_max {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let message = harmless(message, self.line_bytes_max);
        if !self.together.takes_line(message.len()) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.lines.push(LogLine { level, message });
    }

    /// Printed bytes become a line at each line feed; stdout is `info`, stderr `warn`.
    pub(crate) fn print(&mut self, to: Print, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let line_bytes_max = self.line_bytes_max;
            let partial = self.partial(to);
            // Bytes that would be cut off are not kept; one more byte shows that something was cut off.
            let room = (line_bytes_max + 1).saturating_sub(partial.0.len());
            partial.0.extend(piece.iter().take(room));
            if pieces.peek().is_some() {
                self.end_line(to);
            }
        }
    }

    /// A line of the runtime itself, which is added even when the guest has used up its lines.
    pub(crate) fn remark(&mut self, message: &str) {
        self.lines.push(LogLine { level: LogLevel::Warn, message: harmless(message, self.line_bytes_max) });
    }

    /// Another call follows in the same log: the first one's last output does not belong to it.
    pub(crate) fn end_call(&mut self) {
        self.end_line(Print::Stdout);
        self.end_line(Print::Stderr);
        self.last_words.clear();
    }

    /// The lines, and the number of dropped ones.
    pub(crate) fn finish(mut self) -> (Vec<LogLine>, u32) {
        self.end_line(Print::Stdout);
        self.end_line(Print::Stderr);
        (self.lines, self.dropped)
    }

    /// The last non-empty line on stderr.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        self.end_line(Print::Stderr);
        (!self.last_words.is_empty()).then(|| self.last_words.clone())
    }

    fn partial(&mut self, to: Print) -> &mut Partial {
        match to {
            Print::Stdout => &mut self.stdout,
            Print::Stderr => &mut self.stderr,
        }
    }

    /// Empty lines are left out.
    fn end_line(&mut self, to: Print) {
        let bytes = std::mem::take(&mut self.partial(to).0);
        if bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        if to == Print::Stderr && !text.starts_with("note: ") {
            self.last_words = harmless(&text, 512);
        }
        self.write(if to == Print::Stdout { LogLevel::Info } else { LogLevel::Warn }, &text);
    }
}

/// A failure's message as stored: made safe, at most 4 KiB.
pub(crate) fn message(text: &str) -> String {
    harmless(text, MESSAGE_BYTES_MAX)
}

/// `text` as one line of at most `bytes_max` bytes: line feeds and tabs become spaces; ANSI escape sequences and all other
/// characters that control a terminal or the direction of text become U+FFFD. A cut is marked with `…`.
fn harmless(text: &str, bytes_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(bytes_max));
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let c = match c {
            '\n' | '\t' => ' ',
            '\u{1b}' => {
                skip_sequence(&mut rest);
                REPLACEMENT
            }
            c if c.is_control() || is_format(c) => REPLACEMENT,
            c => c,
        };
        if clean.len() + c.len_utf8() > bytes_max {
            return cut(clean, bytes_max);
        }
        clean.push(c);
    }
    clean
}

/// Skips the rest of an escape sequence: `[`, parameters, and the final letter.
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if rest.next_if_eq(&'[').is_none() {
        return;
    }
    while rest.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
    let _ = rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

/// Line and paragraph separators, and characters that change the direction of text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn cut(mut text: String, bytes_max: usize) -> String {
    while text.len() + '…'.len_utf8() > bytes_max && text.pop().is_some() {}
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_characters_are_replaced() {
        for (text, expected) in [
            ("plain — ünïcode", "plain — ünïcode"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{fffd}red\u{fffd}"),
            ("\u{1b}]0;title\u{7}x", "\u{fffd}]0;title\u{fffd}x"),
            ("a\nb\tc\r\u{9b}", "a b c\u{fffd}\u{fffd}"),
            ("\u{202e}live", "\u{fffd}live"),
            ("ends in \u{1b}", "ends in \u{fffd}"),
        ] {
            assert_eq!(harmless(text, 100), expected, "{text:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = harmless(&"é".repeat(20), 16);
        assert_eq!(line, format!("{}…", "é".repeat(6)));
        assert_eq!(harmless("sixteen bytes ok", 16), "sixteen bytes ok");
    }

    #[test]
    fn printed_bytes_become_lines_and_too_many_are_counted() {
        let limits = CallLimits { log_lines: 2, log_line_bytes: 16, ..CallLimits::default() };
        let mut log = Log::new(&limits, Together::default());
        log.print(Print::Stdout, b"one li");
        log.print(Print::Stderr, b"no\xffte\nnote: run again\n");
        log.print(Print::Stdout, b"ne\nmore\n\n");
        assert_eq!(log.last_words().as_deref(), Some("no\u{fffd}te"));
        let (lines, dropped) = log.finish();
        let lines: Vec<_> = lines.iter().map(|line| (line.level, line.message.as_str())).collect();
        assert_eq!(lines, [(LogLevel::Warn, "no\u{fffd}te"), (LogLevel::Warn, "note: run again")]);
        assert_eq!(dropped, 2, "`one line` and `more` came when two lines were there");
    }
}
