//! The words that `docs/glossary.md` retired do not come back: in identifiers, in comments and documents, in JSON.

use weirgate_house::sources;

/// Parts of identifiers, by their words: `shelved_rows` and `ShelvedRows` both hold `shelved`.
const IDENTIFIERS: [&str; 34] = [
    "callee",
    "callees",
    "ending",
    "endings",
    "intervene",
    "intervened",
    "intervention",
    "interventions",
    "knob",
    "knobs",
    "manieth",
    "nobody_in_particular",
    "outcall",
    "outcalls",
    "parked",
    "parked_behind",
    "retry_level",
    "retry_levels",
    "said_body",
    "sequencer",
    "sequencers",
    "shelf",
    "shelve",
    "shelved",
    "shelves",
    "teeth",
    "turned",
    "turns_to",
    "unshelve",
    "verb",
    "verbs",
    "wish",
    "wished",
    "wishes",
];
/// Identifiers mean something else in the shop: it has shelves.
const ELSEWHERE: &str = "web/storefront/";
/// Phrases, in comments, strings and documents.
const PHRASES: [&str; 24] = [
    "/v1/operations",
    "how manieth",
    "is left alone",
    "left alone for",
    "level of retry",
    "levels of retry",
    "nobody",
    "nobody in particular",
    "on the shelf",
    "parked behind",
    "parked-behind",
    "retry level",
    "sequencer",
    "so manieth",
    "somebody",
    "the callee",
    "the doors",
    "the how",
    "the shelf",
    "to the shelf",
    "weirgate.delivery.waiting",
    "what was told",
    "whoever",
    "finds out for all",
];
/// Where retired words are named: the glossary, what was released before, and this list.
const NAMES_THEM: [&str; 3] = ["docs/glossary.md", "CHANGELOG.md", "tests/house/tests/words.rs"];

/// The text files with these extensions, those left out that name the words.
fn texts(extensions: &[&str]) -> impl Iterator<Item = (String, String)> {
    sources(extensions).into_iter().filter(|(path, _)| !NAMES_THEM.contains(&path.as_str()))
}

/// An identifier's words in lower case, joined by `_`.
fn words(identifier: &str) -> String {
    let mut words = String::from("_");
    let mut before = '_';
    for letter in identifier.chars() {
        if letter.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
        before = letter;
    }
    words.push('_');
    words
}

/// The code of a line: what stands before a comment, strings left out.
fn code(line: &str) -> String {
    let (mut code, mut quoted, mut escaped) = (String::new(), false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '/' if !quoted && letters.peek() == Some(&'/') => break,
            '"' if !escaped => quoted = !quoted,
            _ if !quoted => code.push(letter),
            _ => {}
        }
        escaped = quoted && letter == '\\' && !escaped;
    }
    code
}

fn retired_identifier(line: &str) -> Option<&'static str> {
    let code = code(line);
    let identifiers = code.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    identifiers.map(words).find_map(|words| IDENTIFIERS.into_iter().find(|part| words.contains(&format!("_{part}_"))))
}

#[test]
fn retired_words_are_in_no_identifier() {
    let mut found = Vec::new();
    for (path, text) in texts(&[".rs", ".ts", ".tsx"]) {
        if path.starts_with(ELSEWHERE) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            found.extend(retired_identifier(line).map(|word| format!("{path}:{}: {word}", number + 1)));
        }
    }
    assert!(found.is_empty(), "retired words, see docs/glossary.md:\n{}", found.join("\n"));
}

#[test]
fn retired_phrases_are_in_no_text() {
    let mut found = Vec::new();
    for (path, text) in texts(&[".rs", ".ts", ".tsx", ".md", ".wit", ".sh", ".toml", ".css"]) {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let holds = |phrase: &&str| {
                line.match_indices(*phrase).any(|(at, _)| {
                    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
                    !is_word(line[..at].chars().next_back()) && !is_word(line[at + phrase.len()..].chars().next())
                })
            };
            found.extend(
                PHRASES.iter().filter(|phrase| holds(phrase)).map(|phrase| format!("{path}:{}: {phrase}", number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "retired phrases, see docs/glossary.md:\n{}", found.join("\n"));
}

#[test]
fn retired_words_are_recognised() {
    for line in ["fn take_turned_row()", "struct ShelvedRow;", "let wish = 1;", "x.parked_behind", "let endings_ = 1;"]
    {
        assert!(retired_identifier(line).is_some(), "{line}");
    }
    for line in ["fn returned()", "// a wish", "let a = \"a wish\";", "let a = spending;"] {
        assert_eq!(retired_identifier(line), None, "{line}");
    }
}
