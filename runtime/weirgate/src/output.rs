//! What commands print: the only code that writes to standard output and standard error. A reader that has gone ends the
//! command quietly, and control characters from data never reach a terminal.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, Write},
    os::fd::AsFd,
};

use anyhow::{Context, Result};
use console::Style;
use tokio::{io::Interest, net::unix::pipe::Sender};

/// The reader of standard output has gone, for instance `head`: the rest is not read.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub struct OutputClosed;

/// Prints one line of text.
pub fn line(text: &str) -> Result<()> {
    write(format!("{}\n", printable(text)).as_bytes())
}

/// Prints a line that a mark begins: what is new is green at a terminal, what is missing red and what changed yellow.
pub fn marked(mark: char, text: &str) -> Result<()> {
    let style = match mark {
        '+' => Style::new().green(),
        '-' => Style::new().red(),
        '~' | '!' => Style::new().yellow(),
        _ => Style::new(),
    };
    // Styled after it was made printable; a pipe, a file and `NO_COLOR` get it plain.
    write(format!("{}\n", style.apply_to(printable(&format!("  {mark} {text}")))).as_bytes())
}

/// Prints a JSON text as it is laid out.
pub fn json(text: &str) -> Result<()> {
    write(format!("{}\n", printable_json(text)).as_bytes())
}

/// Prints bytes that contain no data of others.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        written => written.context("standard output cannot be written"),
    }
}

/// Returns once the reader of standard output has gone: a command that waits for something to print would not notice.
pub async fn reader_gone() -> anyhow::Error {
    // Only for its notice of the end: the pipe is shared with others, so that its mode must stay, and is written by `write`.
    let pipe = io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    if let Ok(pipe) = pipe {
        while let Ok(ready) = pipe.ready(Interest::ERROR).await {
            if ready.is_error() {
                return OutputClosed.into();
            }
        }
    }
    // A file has no reader.
    std::future::pending().await
}

/// Prints a line on standard error. If that is closed, there is no one to tell.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// Asks on standard error; the answer follows on the same line.
pub fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{} ", printable(question));
    let _ = stderr.flush();
}

/// The text with every character escaped that moves a cursor, changes colours or reorders what follows.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |out, character| match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => out.extend(other.escape_unicode()),
    })
}

/// The same for a JSON text, which stays JSON: its own line breaks stay, and the characters stand in strings only.
fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |out, character| match character {
        '\n' | '\r' | '\t' => out.push(character),
        other => {
            // Writing to a string does not fail.
            let _ = std::fmt::Write::write_fmt(out, format_args!("\\u{:04x}", u32::from(other)));
        }
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_unprintable(character) {
            true => escape(&mut out, character),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// Control characters, line separators, and the marks that change the direction of text.
fn is_unprintable(character: char) -> bool {
    let reorders =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || reorders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed_raw() {
        for (text, shown) in [
            ("plain, ünïcode, 日本 and 👩‍💻", "plain, ünïcode, 日本 and 👩‍💻"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("abc\u{202e}def\u{2066}\u{2028}", "abc\\u{202e}def\\u{2066}\\u{2028}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        for control in (0..=0x1f_u8).chain(0x7f..=0x9f).map(char::from) {
            let text = control.to_string();
            assert!(!printable(&text).contains(control), "{control:?}");
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let json = "{\n  \"a\": \"\u{9b}31m\u{7f}\u{202e} \\u001b\"\n}";
        let shown = printable_json(json);
        assert_eq!(shown, "{\n  \"a\": \"\\u009b31m\\u007f\\u202e \\u001b\"\n}");
        let [before, after] = [json, &shown].map(|text| serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
        assert_eq!(before, after);
    }
}
