//! mcvsphere.
fn main() {}
