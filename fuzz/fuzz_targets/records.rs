//! Fuzzes one record of the log. The properties are in `tests/fuzz/src/records.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weirgate_fuzz::run("records", input));
