//! Fuzz target for the Redis protocol; see [`roomer_fuzz::resp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roomer_fuzz::resp(data));
