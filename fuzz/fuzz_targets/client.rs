//! Fuzz target for a client and its scripted server; see [`roomer_fuzz::client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::client(data));
