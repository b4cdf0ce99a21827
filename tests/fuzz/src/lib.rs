//! Fuzz targets: every decoder of bytes from a disk, a producer, a browser or an operator, each with the properties that
//! hold for any input. `fuzz/` runs them under libFuzzer; `tests/short.rs` runs each for a few seconds in every test run.
//! `docs/fuzzing.md` has the commands.
// A violated property panics, which is what a fuzzer detects.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::indexing_slicing)]

#[cfg(feature = "server")]
mod cloudevents;
#[cfg(feature = "server")]
mod live;
mod manifests;
mod patches;
mod records;
mod segments;

/// A decoder under test.
pub struct Target {
    /// The name of its folder of seeds and of its program under `fuzz/`.
    pub name: &'static str,
    /// Panics if a property is violated.
    pub run: fn(&[u8]),
    /// Pieces of valid input that a mutation may insert.
    pub words: &'static [&'static str],
}

pub const TARGETS: &[Target] = &[
    Target { name: "records", run: records::run, words: records::WORDS },
    Target { name: "segments", run: segments::run, words: segments::WORDS },
    #[cfg(feature = "server")]
    Target { name: "cloudevents", run: cloudevents::run, words: cloudevents::WORDS },
    #[cfg(feature = "server")]
    Target { name: "live", run: live::run, words: live::WORDS },
    Target { name: "manifests", run: manifests::run, words: manifests::WORDS },
    Target { name: "patches", run: patches::run, words: patches::WORDS },
];

/// Runs one target on one input.
pub fn run(name: &str, input: &[u8]) {
    let target =
        TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(input);
}

/// Maximum length of an error's text, for any input.
const ERROR_BYTES_MAX: usize = 4_096;

fn check_error(text: &str) {
    assert!(text.len() <= ERROR_BYTES_MAX, "an error of {} bytes: {}", text.len(), text.get(..200).unwrap_or(text));
}

/// The first byte of an input chooses a mode; an empty input has none.
fn mode(bytes: &[u8], modes: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((first % modes, rest))
}
