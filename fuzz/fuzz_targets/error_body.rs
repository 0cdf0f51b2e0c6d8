//! Any bytes are refused as a control body, or read and say the same after being written in each encoding.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::error_body(data));
