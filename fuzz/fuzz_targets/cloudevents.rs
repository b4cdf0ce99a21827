//! Fuzzes a request with CloudEvents. The properties are in `tests/fuzz/src/cloudevents.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weirgate_fuzz::run("cloudevents", input));
