//! Fuzzes a segment of the log. The properties are in `tests/fuzz/src/segments.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weirgate_fuzz::run("segments", input));
