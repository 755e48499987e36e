//! Any bytes as a bearer token: nothing panics, and none is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcvsphere_mcp::fuzz::bearer(data));
