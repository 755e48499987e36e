//! Fault injection: what the client does when the server, the network or the session fails.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod echo;
mod limits;
mod many;
mod sessions;
mod traces;
mod transport;
