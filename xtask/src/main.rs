//! `cargo xtask`: generate, check, measure.

mod ir;

fn main() {}
