//! Any bytes, and any segment that was spoiled, are cut into records that lie in order, and what counts is whole.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::scan(data));
