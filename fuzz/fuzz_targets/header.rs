//! Any bytes are refused as a header, or taken and given back as they came, at every boundary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::header(data));
