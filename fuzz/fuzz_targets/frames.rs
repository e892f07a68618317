//! Frames on an Ethernet link, anything at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| usernet_fuzz::frames(data));
