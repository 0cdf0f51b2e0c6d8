//! Any stream of bytes is cut into control messages that say the same after being written, or left as it is.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| referee::targets::control_stream(data));
