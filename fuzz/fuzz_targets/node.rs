//! A core that is told anything does not panic, asks for nothing that cannot be done, and keeps to its rooms.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::node(data));
