//! Any bytes as a request over HTTP: nothing panics, nobody gets in, and answers go to the client's own address alone.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcvsphere_mcp::fuzz::request(data));
