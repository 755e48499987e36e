//! Finding, reading and waiting against a server whose answers are written by hand: what a simulator does not do.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod export;
mod find;
mod gaps;
mod info;
mod read;
mod server;
mod task;
