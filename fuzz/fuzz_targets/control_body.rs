//! Any bytes are refused as what the node answers, or read and say the same after being written in each encoding.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::control_body(data));
