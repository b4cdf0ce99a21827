//! Reformats JSON, with every name and value as written.

use super::scan::{JsonError, Token, Tokens};

/// The same value over several lines, two spaces per level.
///
/// # Errors
/// The text is not JSON, or nests deeper than `depth_max`.
pub fn pretty(text: &str, depth_max: usize) -> Result<String, JsonError> {
    laid_out(text, depth_max, true)
}

/// The same value without whitespace.
///
/// # Errors
/// As for [`pretty`].
pub fn compact(text: &str, depth_max: usize) -> Result<String, JsonError> {
    laid_out(text, depth_max, false)
}

fn laid_out(text: &str, depth_max: usize, in_lines: bool) -> Result<String, JsonError> {
    let mut tokens = Tokens::new(text, depth_max);
    let mut layout = Layout { out: String::with_capacity(text.len()), depth: 0, in_lines };
    // No separator before the first part of an object or array, and after a name.
    let (mut is_first, mut after_name) = (true, false);
    while let Some(token) = tokens.read()? {
        let closes = matches!(token, Token::EndArray | Token::EndObject);
        layout.depth -= usize::from(closes);
        if !closes && !is_first && !after_name {
            layout.out.push(',');
        }
        if !(after_name || closes && is_first) {
            layout.new_line();
        }
        (is_first, after_name) =
            (matches!(token, Token::BeginObject | Token::BeginArray), matches!(token, Token::Name(_)));
        layout.depth += usize::from(is_first);
        layout.push(token);
    }
    Ok(layout.out)
}

struct Layout {
    out: String,
    depth: usize,
    in_lines: bool,
}

impl Layout {
    fn push(&mut self, token: Token) {
        let out = &mut self.out;
        match token {
            Token::BeginObject => out.push('{'),
            Token::EndObject => out.push('}'),
            Token::BeginArray => out.push('['),
            Token::EndArray => out.push(']'),
            Token::Name(name) => {
                out.push_str(name);
                out.push_str(if self.in_lines { ": " } else { ":" });
            }
            Token::Scalar(scalar) => out.push_str(scalar),
        }
    }

    fn new_line(&mut self) {
        if self.in_lines && !self.out.is_empty() {
            self.out.push('\n');
            (0..self.depth).for_each(|_| self.out.push_str("  "));
        }
    }
}
