//! Fuzz target for WebSocket frames; see [`roomer_fuzz::session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::session(data));
