//! Fuzzes a message of a browser. The properties are in `tests/fuzz/src/live.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weirgate_fuzz::run("live", input));
