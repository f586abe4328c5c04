//! The start of a connection. The body is [`roomer_fuzz::handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::handshake(data));
