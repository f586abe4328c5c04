//! Fuzz target for hub inputs; see [`roomer_fuzz::plan`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::plan(data));
