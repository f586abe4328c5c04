//! WebSocket frames. The body is [`roomer_fuzz::session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::session(data));
