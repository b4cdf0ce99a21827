//! Fenced code blocks of a document, and what their info strings say is to be done with them.
//!
//! After the language come words and `name="value"`: GitHub shows the language only.
//!
//! | block | what is done |
//! | --- | --- |
//! | `sh` | run by bash in the page's folder. `repeat`: until its output is that of the next block. `background until="..."`: left running once it has printed that, interrupted at the end of the page |
//! | `text prints`, `json prints` | compared with the output of the block before it |
//! | `rust` | compiled with the SDK. `in="..."`: as the body of a function with these parameters |
//! | `toml manifest` | deployed, what is missing filled in |
//! | `toml config` | checked by `weirgate serve --check` |
//! | `json` | parsed |
//! | any with `file="..."` | compared with that file in the page's folder |
//! | any with `check="command {}"` | written to a file, whose name takes the place of `{}`, for a command to check |
//! | any with `why="..."` or `skip="..."` | nothing, for that reason |
//!
//! `needs="program"`: without that program, or that target of Rust, the page ends there. `<!-- before: command -->` above a
//! block is run before it, and not shown to readers.

use std::collections::BTreeMap;

/// Shortest reason that says something.
const REASON_BYTES_MIN: usize = 12;

/// A fenced block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence.
    pub line: usize,
    pub language: String,
    /// Words are names with an empty value.
    pub marks: BTreeMap<String, String>,
    pub text: String,
    /// The hidden command above it.
    pub before: Option<String>,
}

/// What is done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Run { repeat: bool },
    Background { until: String },
    Prints,
    File(String),
    Rust { parameters: Option<String> },
    Manifest,
    Config,
    Json,
    Check(String),
    Nothing,
}

impl Block {
    pub fn mark(&self, name: &str) -> Option<&str> {
        self.marks.get(name).map(String::as_str)
    }

    /// # Errors
    /// Nothing is done with it, and no reason is given.
    pub fn kind(&self) -> Result<Kind, String> {
        let owned = |name: &str| self.mark(name).map(str::to_owned);
        if let Some(reason) = self.mark("skip").or_else(|| self.mark("why")) {
            return match reason.len() >= REASON_BYTES_MIN {
                true => Ok(Kind::Nothing),
                false => Err(format!("{reason:?} is no reason")),
            };
        }
        if let Some(file) = owned("file") {
            return Ok(Kind::File(file));
        }
        if let Some(command) = owned("check") {
            let is_on_it = command.contains("{}");
            return if is_on_it { Ok(Kind::Check(command)) } else { Err("`check` has no {} for the file".into()) };
        }
        let has = |name: &str| self.marks.contains_key(name);
        match self.language.as_str() {
            "sh" if has("background") => match owned("until").filter(|until| !until.is_empty()) {
                Some(until) => Ok(Kind::Background { until }),
                None => Err("a background command needs until=\"...\"".into()),
            },
            "sh" => Ok(Kind::Run { repeat: has("repeat") }),
            "text" | "json" if has("prints") => Ok(Kind::Prints),
            "rust" => Ok(Kind::Rust { parameters: owned("in") }),
            "toml" if has("manifest") => Ok(Kind::Manifest),
            "toml" if has("config") => Ok(Kind::Config),
            "json" => Ok(Kind::Json),
            language => Err(format!("nothing is done with this block of {language:?}: mark it, or say why=\"...\"")),
        }
    }
}

/// The blocks of a document, in order.
pub fn parse(text: &str) -> Vec<Block> {
    let (mut blocks, mut before) = (Vec::new(), None);
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let shown = line.trim_start();
        if let Some(command) = shown.strip_prefix("<!-- before: ").and_then(|rest| rest.strip_suffix(" -->")) {
            before = Some(command.to_owned());
            continue;
        }
        let ticks = shown.len() - shown.trim_start_matches('`').len();
        if ticks < 3 {
            continue;
        }
        let indent = line.len() - shown.len();
        let (language, marks) = info(&shown[ticks..]);
        let mut body = String::new();
        for (_, line) in lines.by_ref() {
            let is_end = line.trim().len() >= ticks && line.trim().bytes().all(|byte| byte == b'`');
            if is_end {
                break;
            }
            body.push_str(line.get(indent..).unwrap_or(line.trim_start()));
            body.push('\n');
        }
        blocks.push(Block { line: index + 1, language, marks, text: body, before: before.take() });
    }
    blocks
}

/// The language and the marks of an info string.
fn info(text: &str) -> (String, BTreeMap<String, String>) {
    let mut rest = text.trim();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => ("", after.trim_start_matches('=')),
        };
        words.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    let language = if words.is_empty() { String::new() } else { words.remove(0).0 };
    (language, words.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Block {
        let mut blocks = parse(text);
        assert_eq!(blocks.len(), 1, "{blocks:?}");
        blocks.remove(0)
    }

    #[test]
    fn blocks_are_found_with_their_marks() {
        let text = "a\n<!-- before: true -->\n  ```sh background until=\"it is \u{a0}up\" x\n  echo \"1\"\n    two\n  ```\nb ``` c\n";
        let block = only(text);
        assert_eq!((block.line, block.language.as_str(), block.text.as_str()), (3, "sh", "echo \"1\"\n  two\n"));
        assert_eq!((block.mark("until"), block.mark("x"), block.mark("y")), (Some("it is \u{a0}up"), Some(""), None));
        assert_eq!(block.before.as_deref(), Some("true"));
        assert_eq!(parse("```\na\n```\n````md\n```sh\n```\n````\n").len(), 2, "a longer fence holds shorter ones");
        assert_eq!(only("```sh\nnever closed").text, "never closed\n");
    }

    #[test]
    fn a_block_without_a_mark_fails() {
        for text in [
            "```\nx\n```",
            "```text\nx\n```",
            "```toml\nx\n```",
            "```yaml\nx\n```",
            "```nginx\nx\n```",
            "```bash\nx\n```",
            "```yaml why=\"no\"\nx\n```",
            "```sh background\nx\n```",
            "```yaml check=\"promtool\"\nx\n```",
        ] {
            assert!(only(text).kind().is_err(), "{text}");
        }
        for (text, kind) in [
            ("```sh\nx\n```", Kind::Run { repeat: false }),
            ("```sh repeat\nx\n```", Kind::Run { repeat: true }),
            ("```sh skip=\"it takes an hour\"\nx\n```", Kind::Nothing),
            ("```text why=\"a drawing of it\"\nx\n```", Kind::Nothing),
            ("```text prints\nx\n```", Kind::Prints),
            ("```rust\nx\n```", Kind::Rust { parameters: None }),
            ("```toml manifest\nx\n```", Kind::Manifest),
            ("```yaml check=\"promtool check rules {}\"\nx\n```", Kind::Check("promtool check rules {}".into())),
        ] {
            assert_eq!(only(text).kind(), Ok(kind), "{text}");
        }
    }
}
