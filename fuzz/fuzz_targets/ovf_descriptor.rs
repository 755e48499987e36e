//! Any bytes as the descriptor of a package: nothing panics, and no path leads out of the package.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vsphere_ops::ovf::fuzz::descriptor(data));
