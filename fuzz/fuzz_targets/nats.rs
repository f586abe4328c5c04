//! Fuzz target for the NATS protocol; see [`roomer_fuzz::nats`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::nats(data));
