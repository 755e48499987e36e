//! Any bytes as a manifest: nothing panics, and what was read is read again after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vsphere_ops::ovf::fuzz::manifest(data));
