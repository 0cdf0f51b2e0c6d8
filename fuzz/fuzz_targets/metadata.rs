//! Any bytes are refused as metadata or a plain body, or read within the limits.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::metadata(data));
