//! Fuzz target for the packet decoder; see [`roomer_fuzz::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::decode(data));
