//! Any stream of bytes is cut into frames whose parts add up, or left as it is, at every boundary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::frame(data));
