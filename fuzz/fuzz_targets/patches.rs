//! Fuzzes a merge patch. The properties are in `tests/fuzz/src/patches.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weirgate_fuzz::run("patches", input));
