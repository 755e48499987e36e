//! Any bytes as the metadata of a client: nothing panics, and what it says of itself is no markup on a page.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcvsphere_mcp::fuzz::client(data));
