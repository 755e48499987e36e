//! How much memory a decoded answer takes. Run by `cargo xtask bench decode`; apart from the benchmark of the speed,
//! because counting slows every allocation.
#![allow(clippy::print_stdout, reason = "a benchmark speaks by printing")]

mod common;

use std::alloc::System;
use std::error::Error;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Box<dyn Error>> {
    let document = common::input()?;
    let machines = document.matches("<objects>").count().max(1);
    let region = Region::new(ALLOCATOR);
    let answer = vsphere_model::read_answer(document.as_bytes())?;
    let used = region.change();
    drop(answer);
    let bytes = used.bytes_allocated as i64 - used.bytes_deallocated as i64;
    println!("objects: {machines}");
    println!("memory of the result MB: {:.1}", bytes as f64 / 1e6);
    println!("memory of the result, bytes per object: {}", bytes / machines as i64);
    println!("allocations per object: {}", used.allocations / machines);
    Ok(())
}
