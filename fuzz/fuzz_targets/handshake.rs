//! Fuzz target for HTTP requests and upgrades; see [`roomer_fuzz::handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::handshake(data));
