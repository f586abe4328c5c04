//! Fuzz target for frames between nodes; see [`roomer_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::frame(data));
