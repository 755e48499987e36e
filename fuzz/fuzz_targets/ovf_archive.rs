//! Any bytes as an archive: nothing panics, and no member reaches beyond the archive or leads out of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vsphere_ops::ovf::fuzz::archive(data));
