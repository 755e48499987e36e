//! OVF packages, deployed on the simulated vCenter and exported from it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod deploy;
mod export;
mod faults;
mod leases;
mod package;
mod pull;
mod sources;
