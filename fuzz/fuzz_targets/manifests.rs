//! Fuzzes a manifest. The properties are in `tests/fuzz/src/manifests.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weirgate_fuzz::run("manifests", input));
