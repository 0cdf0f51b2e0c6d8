//! Any bytes are refused as an entry of the journal, or read and written again as they stood.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::entry(data));
