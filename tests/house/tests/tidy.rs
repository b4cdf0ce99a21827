//! Sizes and words, as a ratchet: an exception is listed with its size, may shrink, and may not grow.

use std::fs;

use weirgate_house::{root, sources};

/// The most lines of a source file, its inline tests left out.
const FILE_LINES_MAX: usize = 450;
/// The most lines that half of the source files may have, tests left out.
const FILE_LINES_MEDIAN_MAX: usize = 120;
/// Maximum number of lines of a function.
const FUNCTION_LINES_MAX: usize = 60;
/// Leftovers and words that do not belong in the tree.
const UNWANTED: [&str; 6] = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "#[ignore"];

/// The lines before the inline tests.
fn code(text: &str) -> Vec<&str> {
    let tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..tests].lines().collect()
}

fn is_test(path: &str) -> bool {
    ["tests/", "/test/", "/tests/", "/benches/", "/dev/", "/scripts/"].iter().any(|part| path.contains(part))
        || path.ends_with("tests.rs")
}

#[test]
fn files_stay_small() {
    for (path, text) in sources(&[".rs", ".ts", ".tsx"]) {
        let lines = code(&text).len();
        assert!(lines <= FILE_LINES_MAX, "{path} has {lines} lines; at most {FILE_LINES_MAX}");
    }
}

#[test]
fn most_files_are_short() {
    let mut lines: Vec<_> =
        sources(&[".rs"]).into_iter().filter(|(path, _)| !is_test(path)).map(|(_, text)| code(&text).len()).collect();
    lines.sort_unstable();
    let median = lines[lines.len() / 2];
    assert!(median <= FILE_LINES_MEDIAN_MAX, "the median file has {median} lines; at most {FILE_LINES_MEDIAN_MAX}");
}

#[test]
fn functions_stay_short() {
    for (path, text) in sources(&[".rs"]).into_iter().filter(|(path, _)| !is_test(path)) {
        let lines = code(&text);
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_function =
                line.trim_start().starts_with("fn ") || line.contains(" fn ") && !line.trim_start().starts_with("//");
            if !is_function || !line.ends_with('{') {
                continue;
            }
            let closing = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| **line == closing).unwrap_or(0);
            assert!(length <= FUNCTION_LINES_MAX, "{path}:{} is {length} lines long", start + 1);
        }
    }
}

#[test]
fn no_todo_or_debug_output_is_left() {
    for (path, text) in sources(&[".rs", ".ts", ".tsx", ".sh", ".toml", ".wit"]) {
        for unwanted in UNWANTED {
            let allowed = path.ends_with("house/tests/tidy.rs");
            assert!(allowed || !text.contains(unwanted), "{path} holds {unwanted}");
        }
    }
}

#[test]
fn every_source_file_begins_with_its_purpose() {
    for (path, text) in sources(&[".rs"]) {
        assert!(text.starts_with("//") || text.starts_with("#!["), "{path} does not open with what it owns");
    }
}

#[test]
fn documents_link_to_existing_files() {
    for (path, text) in sources(&[".md"]) {
        let folder = root().join(&path).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let is_file = !target.is_empty()
                && !target.contains("://")
                && !target.starts_with("mailto:")
                && !target.contains(' ');
            assert!(!is_file || folder.join(target).exists(), "{path} links to {link}, which is not there");
        }
    }
}

#[test]
fn documents_name_existing_paths() {
    let top = ["docs/", "handlers/", "runtime/", "sdk/", "tests/", "tools/", "web/"];
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let mut found = 0;
    for (path, text) in sources(&[".md"]) {
        for name in text.split('`').filter(|name| top.iter().any(|folder| name.starts_with(folder))) {
            // Patterns, and folders that a build creates, are not there.
            if name.bytes().all(is_path) && !name.contains("/dist") {
                assert!(root().join(name).exists(), "{path} names {name}, which is not there");
                found += 1;
            }
        }
    }
    assert!(found > 100, "paths in documents are not recognised: {found}");
}

/// The codes of problems in a file of the server: the text after a status, and in a bad request.
fn problem_codes(text: &str) -> Vec<&str> {
    let after = |text| -> Option<&str> { str::trim_start(text).strip_prefix('"')?.split('"').next() };
    let by_status = text.split("StatusCode::").skip(1).filter_map(|rest| after(rest.split_once(',')?.1));
    let bad = text.split("bad_request(").skip(1).filter_map(after);
    let is_code = |code: &&str| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    by_status.chain(bad).filter(is_code).collect()
}

/// The codes of errors in a file: the texts in its functions `code`.
fn error_codes(text: &str) -> Vec<&str> {
    let functions =
        text.split("fn code(").skip(1).filter_map(|rest| rest.split_once("\n    }\n").map(|(body, _)| body));
    let texts = functions.flat_map(|body| body.split('"').skip(1).step_by(2));
    texts
        .filter(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .collect()
}

#[test]
fn every_error_code_is_documented() {
    let documented = fs::read_to_string(root().join("docs/problems.md")).expect("the list of problems");
    let mut found = 0;
    for (path, text) in sources(&[".rs"]).into_iter().filter(|(path, _)| path.starts_with("runtime/")) {
        for code in error_codes(&text) {
            assert!(
                documented.contains(&format!("`{code}`")),
                "{path} has the error {code}; docs/problems.md lacks it"
            );
            found += 1;
        }
    }
    assert!(found > 20, "{found} codes were found");
}

#[test]
fn every_problem_is_documented() {
    let documented = fs::read_to_string(root().join("docs/problems.md")).expect("the list of problems");
    let mut found = 0;
    for (path, text) in sources(&[".rs"]).into_iter().filter(|(path, _)| path.starts_with("runtime/server/src/")) {
        for code in problem_codes(&text) {
            assert!(documented.contains(&format!("`{code}`")), "{path} answers {code}; docs/problems.md lacks it");
            found += 1;
        }
    }
    assert!(found > 20, "{found} problems were found");
}
