//! Any bytes are refused as a record, or read, written again, and read as the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::record(data));
