//! Fuzz target for WebSocket frames; see [`roomer_fuzz::websocket`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::websocket(data));
