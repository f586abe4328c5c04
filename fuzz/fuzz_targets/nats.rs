//! The bytes of a NATS server. The body is [`roomer_fuzz::nats`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::nats(data));
