//! Any bytes are refused as a join, or read, written again, and read as the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::join(data));
