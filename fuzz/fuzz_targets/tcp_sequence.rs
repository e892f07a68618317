//! Sequences of calls, segments and time, over anything at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| usernet_fuzz::sequence(data));
