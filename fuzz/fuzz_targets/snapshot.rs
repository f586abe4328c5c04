//! Fuzz target for member lists; see [`roomer_fuzz::snapshot`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::snapshot(data));
